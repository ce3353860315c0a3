#include "trainer/state/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "tests/support/error_of.h"
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

std::string ReadError(const std::string& path) {
  return ErrorOf<std::runtime_error>([&] { ReadSafetensors(path); });
}

std::ptrdiff_t FilesIn(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder),
                       std::filesystem::directory_iterator());
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
  EXPECT_EQ(FilesIn(folder.path()), 1);
}

TEST(Safetensors, RefusesEveryTruncation) {
  TemporaryFolder folder;
  WriteSafetensors(folder / "a", SomeTensors());
  const std::string whole = Get(folder / "a");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Put(folder / "b", whole.substr(0, length));
    EXPECT_NE(ReadError(folder / "b"), "") << length;
  }
  Put(folder / "b", whole + "!");
  EXPECT_NE(ReadError(folder / "b"), "");
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
    ReadError(folder / "b");  // either reads or throws runtime_error; anything else ends the test
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
    EXPECT_NE(ReadError(folder / "b").find(folder / "b"), std::string::npos)
        << header.substr(0, 80);
  }
  Put(folder / "b", std::string(8, '\xff'));
  EXPECT_NE(ReadError(folder / "b"), "");
  EXPECT_NE(ReadError(folder / "absent").find("No such file"), std::string::npos);
  EXPECT_NE(ReadError(folder.path()), "");
}

TEST(Safetensors, AHeaderOf100000EntriesTakesNoTime) {
  TemporaryFolder folder;
  NamedTensors many;
  const at::Tensor one = at::ones({1});
  for (int i = 0; i < 100'000; ++i) many.emplace_back(std::to_string(i), one);
  const auto start = std::chrono::steady_clock::now();
  WriteSafetensors(folder / "a", many);
  EXPECT_EQ(SafetensorsReader(folder / "a").entries().size(), many.size());

  // Entries that all claim the same bytes, and names that are all the same.
  std::string overlapping = "{", equal = "{";
  for (int i = 0; i < 100'000; ++i) {
    const std::string entry = R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)";
    overlapping += '"';
    overlapping += std::to_string(i);
    overlapping += entry;
    equal += R"("w)";
    equal += entry;
  }
  for (std::string* header : {&overlapping, &equal}) {
    header->back() = '}';
    Put(folder / "b", FileOf(*header, 4));
    EXPECT_NE(ReadError(folder / "b"), "");
  }
  // Quadratic in the entries, each of the three took minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Safetensors, OneTensorIsReadWithoutTheOthers) {
  TemporaryFolder folder;
  WriteSafetensors(folder / "a", SomeTensors());
  const SafetensorsReader reader(folder / "a");
  for (const SafetensorsEntry& entry : reader.entries()) {
    if (entry.name == "scalar") {
      EXPECT_EQ(reader.Read(entry).item<double>(), 2.5);
      EXPECT_EQ(entry.bytes, 8u);
    }
  }
}

TEST(Safetensors, APyTorchCheckpointIsNamedWithTheLineThatConvertsIt) {
  TemporaryFolder folder;
  const std::string file = folder / "it's.pt";
  const std::string pickle = std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 14);
  for (const std::string& bytes : {std::string("PK\x03\x04") + std::string(4000, '\0'), pickle}) {
    Put(file, bytes);
    const std::string error = ReadError(file);
    EXPECT_NE(error.find("it's.pt is a PyTorch checkpoint"), std::string::npos) << error;
    EXPECT_NE(error.find("python3 -c \"import sys, torch"), std::string::npos) << error;
    EXPECT_NE(error.find("it'\\''s.safetensors'"), std::string::npos) << error;
  }
  Put(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605157884\n");
  EXPECT_NE(ReadError(file).find("git lfs pull"), std::string::npos);
  // A header of 0x0280 bytes begins as a pickle does.
  WriteSafetensors(folder / "a", {{"w", at::ones({1})}}, {{"pad", std::string(560, 'x')}});
  EXPECT_EQ(Get(folder / "a").substr(0, 2), "\x80\x02");
  EXPECT_EQ(ReadError(folder / "a"), "");
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
  EXPECT_EQ(FilesIn(folder.path()), 1);
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
