// Test files of CPython, libarchive, webdataset and Pillow, gathered with what Python makes of them
// by tools/peers.sh foreign, which names their folder.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <variant>

#include "pipeline/base/printable.h"
#include "pipeline/files/file.h"
#include "pipeline/files/file_system.h"
#include "pipeline/pixels/image.h"
#include "pipeline/shards/tar_walk.h"
#include "tests/pipeline/shard_files.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// Takes numbers and texts from the beginning of bytes.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  template <class T>
  T Number() {
    T value;
    std::memcpy(&value, Text(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view Text(std::size_t size) {
    const std::string_view text = bytes_.substr(0, size);
    if (text.size() < size) throw std::runtime_error("cut");
    bytes_.remove_prefix(size);
    return text;
  }

 private:
  std::string_view bytes_;
};

Members MembersOfPython(const std::string& bytes) {
  Members members;
  for (Taker taker(bytes); !taker.empty();) {
    const std::string name(taker.Text(taker.Number<std::uint32_t>()));
    members.emplace_back(name, taker.Text(taker.Number<std::uint64_t>()));
  }
  return members;
}

/// As a run reads them; and a walk over the file finds the same.
Members MembersOfOurs(const std::string& path) {
  const std::string bytes = ReadFile(path);
  Members members;
  WalkTar(AsBytes(bytes), [&](const TarMember& member) {
    if (member.size > (std::int64_t{1} << 30)) {
      members.emplace_back(member.path, "over 1 GiB, which Python's side leaves out too");
      return;
    }
    std::string data(static_cast<std::size_t>(member.size), '\0');
    if (member.expand) {
      if (!member.expand(std::as_writable_bytes(std::span(data)))) data = "cut";
    } else {
      const auto at = std::min(bytes.size(), static_cast<std::size_t>(member.data_at));
      data = bytes.substr(at, data.size());
    }
    members.emplace_back(member.path, data);
  });
  std::size_t seen = 0;
  WalkTar(*OpenFile(path), [&](const TarMember& member) {
    ASSERT_LT(seen, members.size()) << path;
    EXPECT_EQ(member.path, members[seen++].first) << path;
  });
  EXPECT_EQ(seen, members.size()) << path;
  return members;
}

/// Where two lists first differ; empty where they do not.
std::string Difference(const Members& python, const Members& ours) {
  for (std::size_t i = 0; i < std::max(python.size(), ours.size()); ++i) {
    if (i >= ours.size()) return "not here: " + Printable(python[i].first);
    if (i >= python.size()) return "not in Python: " + Printable(ours[i].first);
    if (python[i] == ours[i]) continue;
    return fmt::format("'{}' of {} bytes, in Python '{}' of {}", Printable(ours[i].first),
                       ours[i].second.size(), Printable(python[i].first), python[i].second.size());
  }
  return "";
}

std::string FolderOf(const char* kind) {
  const char* folder = std::getenv("FASTCLIP_FOREIGN");
  return folder == nullptr ? "" : std::string(folder) + "/" + kind;
}

/// The files of which Python made something, and those that it refused, with their reasons.
struct Gathered {
  std::vector<std::string> made;
  std::map<std::string, std::string> refused;
};

Gathered Gather(const std::string& folder, const std::string& suffix) {
  Gathered gathered;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path();
    if (path.ends_with(suffix))
      gathered.made.push_back(path.substr(0, path.size() - suffix.size()));
    if (!path.ends_with(".refused")) continue;
    gathered.refused[path.substr(0, path.size() - 8)] = ReadFile(path);
  }
  std::ranges::sort(gathered.made);
  return gathered;
}

std::string NameOf(const std::string& path) { return fs::path(path).filename().string(); }

TEST(Foreign, TarsHaveTheMembersThatPythonReads) {
  const std::string folder = FolderOf("tars");
  if (folder.empty()) GTEST_SKIP() << "FASTCLIP_FOREIGN is not set; tools/peers.sh foreign does";
  const Gathered gathered = Gather(folder, ".members");
  std::size_t members = 0;
  for (const std::string& path : gathered.made) {
    const Members python = MembersOfPython(ReadFile(path + ".members"));
    EXPECT_EQ(Difference(python, MembersOfOurs(path)), "") << NameOf(path);
    members += python.size();
  }
  for (const auto& [path, reason] : gathered.refused) {
    std::printf("Python does not read %s (%s); here it has %zu members\n", NameOf(path).c_str(),
                Printable(reason).c_str(), MembersOfOurs(path).size());
  }
  std::printf("%zu tars, %zu members compared\n", gathered.made.size(), members);
  EXPECT_GT(members, 0u);
}

std::string Decoded(const std::string& path) {
  DecodeOptions options;
  options.formats.Add(PictureFormat::kGif);
  options.formats.Add(PictureFormat::kBmp);
  const auto decoded = DecodeImage(AsBytes(ReadFile(path)), options);
  if (const Skip* cause = std::get_if<Skip>(&decoded)) return SkipName(*cause);
  const Image& image = std::get<Image>(decoded);
  std::string bytes(8 + image.pixels.size(), '\0');
  const std::uint32_t size[] = {static_cast<std::uint32_t>(image.width),
                                static_cast<std::uint32_t>(image.height)};
  std::memcpy(bytes.data(), size, sizeof(size));
  std::ranges::transform(image.pixels, bytes.begin() + 8,
                         [](std::uint8_t value) { return static_cast<char>(value); });
  return bytes;
}

/// Pillow loses the last pixel of an odd number of four-bit ones that are no run, and all behind it
/// shifts: it shows another picture.
const std::set<std::string> kPillowIsWrong = {"bmp-g-pal4rle.bmp", "bmp-q-pal4rletrns.bmp"};

TEST(Foreign, PicturesHaveThePixelsThatPillowMakes) {
  const std::string folder = FolderOf("pictures");
  if (folder.empty()) GTEST_SKIP() << "FASTCLIP_FOREIGN is not set; tools/peers.sh foreign does";
  const Gathered gathered = Gather(folder, ".rgb");
  std::size_t equal = 0;
  for (const std::string& path : gathered.made) {
    const std::string pillow = ReadFile(path + ".rgb"), ours = Decoded(path);
    if (SkipOfName(ours)) {
      std::printf("refused here: %s (%s)\n", NameOf(path).c_str(), ours.c_str());
      continue;
    }
    EXPECT_NE(ours == pillow, kPillowIsWrong.contains(NameOf(path))) << NameOf(path);
    equal += ours == pillow;
  }
  for (const auto& [path, reason] : gathered.refused) {
    const std::string ours = Decoded(path);
    std::printf("refused by Pillow: %s (%s); here %s\n", NameOf(path).c_str(),
                Printable(reason).c_str(), SkipOfName(ours) ? ours.c_str() : "it is a picture");
  }
  std::printf("%zu pictures equal; %zu that Pillow has wrong\n", equal, kPillowIsWrong.size());
  EXPECT_GT(equal, 0u);
}

}  // namespace
}  // namespace fastclip
