#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

namespace fastclip {

/// Root may write everywhere: then the test goes on as nobody.
class WithoutRoot {
 public:
  WithoutRoot() {
    if (was_root_) {
      EXPECT_EQ(seteuid(65534), 0);
    }
  }
  ~WithoutRoot() {
    if (was_root_) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }

 private:
  const bool was_root_ = geteuid() == 0;
};

}  // namespace fastclip
