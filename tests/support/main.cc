#include <gtest/gtest.h>

#include <cstdio>

// A filter or a build slip that leaves no test must not pass.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  const auto& unit = *testing::UnitTest::GetInstance();
  if (unit.test_to_run_count() == 0 && !GTEST_FLAG_GET(list_tests)) {
    std::fprintf(stderr, "no test ran\n");
    return 1;
  }
  return result;
}
