#include "trainer/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "tests/support/paths.h"

namespace fastclip {
namespace {

NamedTensors SomeTensors() {
  return {{"flags", at::arange(3, at::kInt).remainder(2).to(at::kBool)},
          {"scalar", at::scalar_tensor(2.5, at::kDouble)},
          {"weight", at::arange(12, at::kFloat).reshape({3, 4}).t()},
          {"half", at::arange(5, at::kHalf)},
          {"brain", at::arange(3, at::kBFloat16)},
          {"ids", at::arange(4, at::kLong)},
          {"labels", at::arange(3, at::kInt)},
          {"bytes", at::arange(7, at::kByte)},
          {"empty", at::empty({0, 3}, at::kFloat)}};
}

std::string FileOf(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, 'x');
}

void Put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Get(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string ErrorOf(const std::string& path) {
  try {
    ReadSafetensors(path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Safetensors, ReadsWhatItWroteInOrder) {
  TemporaryFolder folder;
  const NamedTensors tensors = SomeTensors();
  WriteSafetensors(folder / "a", tensors, {{"model", "tiny"}, {"note", "line\n\"two\""}});
  const SafetensorsFile file = ReadSafetensors(folder / "a");
  EXPECT_EQ(file.metadata,
            (std::map<std::string, std::string>{{"model", "tiny"}, {"note", "line\n\"two\""}}));
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(file.tensors[i].first, tensors[i].first);
    EXPECT_EQ(file.tensors[i].second.scalar_type(), tensors[i].second.scalar_type());
    EXPECT_TRUE(at::equal(file.tensors[i].second, tensors[i].second)) << tensors[i].first;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a.tmp"));
}

TEST(Safetensors, RefusesEveryTruncation) {
  TemporaryFolder folder;
  WriteSafetensors(folder / "a", SomeTensors());
  const std::string whole = Get(folder / "a");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Put(folder / "b", whole.substr(0, length));
    EXPECT_NE(ErrorOf(folder / "b"), "") << length;
  }
  Put(folder / "b", whole + "!");
  EXPECT_NE(ErrorOf(folder / "b"), "");
}

TEST(Safetensors, SurvivesFlippedBytes) {
  TemporaryFolder folder;
  WriteSafetensors(folder / "a", SomeTensors());
  const std::string whole = Get(folder / "a");
  std::mt19937 random(1);
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bytes = whole;
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    Put(folder / "b", bytes);
    ErrorOf(folder / "b");  // either reads or throws runtime_error; anything else ends the test
  }
}

TEST(Safetensors, RefusesHeadersThatLie) {
  TemporaryFolder folder;
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  const std::vector<std::string> headers = {
      "",
      "null",
      "[]",
      "{",
      std::string(100'000, '['),
      R"({"w":1})",
      R"({"w":{}})",
      entry("F99", "[2]", "[0,8]"),
      entry("F32", "[3]", "[0,8]"),
      entry("F32", "[-2]", "[0,8]"),
      entry("F32", "[2.0]", "[0,8]"),
      entry("F32", "[4611686018427387904,2]", "[0,8]"),
      entry("F32", "[0,4611686018427387904,16]", "[0,0]"),
      entry("F32", "[2]", "[8,0]"),
      entry("F32", "[2]", "[0,8,9]"),
      entry("F32", "[1]", "[4,8]"),
      entry("F32", "[4]", "[0,16]"),
      R"({"__metadata__":{"a":1}})",
      R"({"__metadata__":"a"})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"};
  for (const std::string& header : headers) {
    Put(folder / "b", FileOf(header, 8));
    EXPECT_NE(ErrorOf(folder / "b").find(folder / "b"), std::string::npos) << header.substr(0, 80);
  }
  Put(folder / "b", std::string(8, '\xff'));
  EXPECT_NE(ErrorOf(folder / "b"), "");
  EXPECT_NE(ErrorOf(folder / "absent").find("No such file"), std::string::npos);
  EXPECT_NE(ErrorOf(folder.path()), "");
}

TEST(Safetensors, LeavesTheOldFileWhenTheDiskIsFull) {
  TemporaryFolder folder;
  WriteSafetensors(folder / "a", {{"w", at::ones({4})}});
  // A limit on file sizes fails a write as a full disk does.
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 16, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(WriteSafetensors(folder / "a", {{"w", at::ones({1 << 20})}}), std::runtime_error);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.tmp"));
  EXPECT_EQ(ReadSafetensors(folder / "a").tensors[0].second.numel(), 4);
}

TEST(Safetensors, NamesTheFolderThatIsMissing) {
  TemporaryFolder folder;
  try {
    WriteSafetensors(folder / "no/a", {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("no/a"), std::string::npos);
  }
}

}  // namespace
}  // namespace fastclip
