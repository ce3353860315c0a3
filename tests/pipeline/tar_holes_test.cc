#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>

#include "pipeline/shards/tar_walk.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 512;

/// `count` records with images of 4,000 bytes.
Members LargeMembers(int count, const std::string& prefix = "") {
  Members members = PlainMembers(count, prefix);
  for (auto& [name, bytes] : members) {
    if (name.ends_with(".jpg")) bytes.resize(4000, '.');
  }
  return members;
}

/// Where the header of a member begins.
std::size_t HeaderOf(const std::string& tar, const std::string& name) {
  return tar.find(name) / kBlock * kBlock;
}

std::string Padded(std::string tar, std::size_t multiple) {
  tar.resize((tar.size() + multiple - 1) / multiple * multiple, '\0');
  return tar;
}

class TarHoles : public testing::Test {
 protected:
  TarHoles() {
    WriteShard(path_, LargeMembers(8));
    good_ = ReadFile(path_);
    whole_ = Summary(ReadAll(*OpenSource(path_)));
  }
  /// The records of a shard that holds these bytes, and what is said of it.
  Lines Read(std::string_view bytes) {
    fs::remove(path_ + ".fastclip");
    WriteFile(path_, bytes);
    const OpenedSource opened = OpenSourceWithInfo(path_, Renewing());
    warnings_ = fmt::format("{}", fmt::join(opened.parts[0].warnings, "; "));
    lost_ = opened.parts[0].damaged_bytes;
    const Lines lines = Summary(ReadAll(*opened.source));
    for (std::size_t i = 0; i < lines.size(); ++i) {  // one at a time it is the same
      EXPECT_EQ(Summary(opened.source->Read(SampleIndex(i), 1, {})), Lines{lines[i]});
    }
    return lines;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_ / "0.tar";
  std::string good_;
  Lines whole_;
  std::string warnings_;
  std::int64_t lost_ = 0;
};

/// The header at `at` gets the size -1000 and a checksum that fits.
void MakeSizeNegative(std::string& tar, std::size_t at) {
  tar.replace(at + 124, 12, std::string(10, '\xff') + "\xfc\x18");
  tar.replace(at + 148, 8, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(tar[at + i]);
  tar.replace(at + 148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

TEST_F(TarHoles, AtAHeaderThatIsRefusedBeginThere) {
  std::string bytes = good_;
  const std::size_t at = HeaderOf(bytes, "1003.txt");
  MakeSizeNegative(bytes, at);
  const Lines lines = Read(bytes);
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_EQ(lines[4], whole_[4]);
  EXPECT_NE(warnings_.find(fmt::format("0.tar (bytes {}..{})", at, at + 2 * kBlock)),
            std::string::npos)
      << warnings_;
}

TEST_F(TarHoles, OfZerosLoseWhatLayInThemAlone) {
  std::string bytes = good_;
  const std::size_t at = HeaderOf(bytes, "1003.jpg");
  bytes.replace(at, 2 * kBlock, 2 * kBlock, '\0');
  const Lines lines = Read(bytes);
  ASSERT_EQ(lines.size(), 8u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i != 3) {
      EXPECT_EQ(lines[i], whole_[i]);
    }
  }
  EXPECT_EQ(lines[3], "1003||caption of 1003|-1|no_image");
  EXPECT_NE(warnings_.find(fmt::format("0.tar (bytes {}..{})", at, at + 9 * kBlock)),
            std::string::npos)
      << warnings_;
  EXPECT_EQ(lost_, static_cast<std::int64_t>(9 * kBlock));

  bytes.replace(at, 2 * kBlock, 2 * kBlock, '\xaa');  // garbage is told in the same way
  const std::string of_zeros = warnings_;
  EXPECT_EQ(Read(bytes), lines);
  EXPECT_EQ(warnings_, of_zeros);
}

TEST_F(TarHoles, LargerThanTheirRecordAreSaid) {
  std::string bytes = good_;
  const std::size_t from = HeaderOf(bytes, "1002.jpg"), to = HeaderOf(bytes, "1006.jpg");
  bytes.replace(from, to - from, to - from, '\0');
  const Lines lines = Read(bytes);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], whole_[1]);
  EXPECT_EQ(lines[2], whole_[6]);
  EXPECT_NE(warnings_.find(fmt::format("(bytes {}..{})", from, to)), std::string::npos)
      << warnings_;
}

TEST_F(TarHoles, AtTheEndAreSaid) {
  std::string bytes = Padded(good_, 10240);
  const std::size_t from = HeaderOf(bytes, "1004.jpg");
  bytes.replace(from, bytes.size() - from, bytes.size() - from, '\0');
  EXPECT_EQ(Read(bytes), Lines(whole_.begin(), whole_.begin() + 4));
  EXPECT_NE(warnings_.find(fmt::format("(bytes {}..{})", from, bytes.size())), std::string::npos)
      << warnings_;
  EXPECT_EQ(lost_, static_cast<std::int64_t>(bytes.size() - from));
  // A file of zeros alone holds no record.
  EXPECT_NE(ErrorOf([&] { Read(std::string(1 << 20, '\0')); }).find("no records"),
            std::string::npos);
}

// As a download leaves it that was given its size first: nothing of the hole is read.
TEST_F(TarHoles, OfATerabyteTakeNoTime) {
  fs::remove(path_ + ".fastclip");
  fs::resize_file(path_, std::uintmax_t{1} << 40);
  const OpenedSource opened = OpenSourceWithInfo(path_, Renewing());
  EXPECT_EQ(Summary(ReadAll(*opened.source)), whole_);
  EXPECT_EQ(opened.parts[0].warnings.size(), 1u);
  EXPECT_GT(opened.parts[0].damaged_bytes, std::int64_t{1} << 39);
}

TEST_F(TarHoles, AreNoneInThePaddingOfATar) {
  for (const std::size_t multiple : {512, 1024, 10240}) {
    EXPECT_EQ(Read(Padded(good_, multiple)), whole_);
    EXPECT_EQ(warnings_, "") << multiple;
  }
  EXPECT_EQ(Read(Padded(good_, 10240) + std::string(10240, '\0')), whole_);
  EXPECT_NE(warnings_, "");
}

TEST_F(TarHoles, AreNoneBetweenShardsJoinedByCat) {
  WriteShard(folder_ / "b", LargeMembers(3, "b"));
  const std::string other = ReadFile(folder_ / "b");
  for (const std::size_t multiple : {512, 10240}) {
    const Lines lines = Read(Padded(good_, multiple) + Padded(other, multiple) + good_);
    ASSERT_EQ(lines.size(), 19u);
    EXPECT_EQ(Lines(lines.begin(), lines.begin() + 8), whole_);
    EXPECT_TRUE(lines[8].starts_with("b1000|"));
    EXPECT_EQ(Lines(lines.begin() + 11, lines.end()), whole_);
    EXPECT_EQ(warnings_, "") << multiple;
  }
}

TEST_F(TarHoles, BehindTheEndAreSaidEvenWhereNoHeaderFollows) {
  EXPECT_EQ(Read(Padded(good_, 10240) + std::string(2000, 'x')), whole_);
  EXPECT_NE(warnings_.find("damaged"), std::string::npos) << warnings_;
}

// libarchive gives up at such a header; what is behind it is there all the same.
TEST_F(TarHoles, OfASpecialHeaderThatCannotBeReadEndBehindIt) {
  std::string bytes = good_;
  const std::size_t at = HeaderOf(bytes, "1003.jpg");
  std::string header = bytes.substr(at, kBlock);
  header[156] = 'x';                           // attributes of the next member…
  header.replace(124, 12, "77777777777", 12);  // …of 8 GiB
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  bytes.replace(at, kBlock, header);
  const Lines lines = Read(bytes);
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_TRUE(lines[3].ends_with("no_image")) << lines[3];
  EXPECT_EQ(lines[7], whole_[7]);
  EXPECT_NE(warnings_, "");
}

TEST_F(TarHoles, AreNoneInATarOfALabelAlone) {
  std::string label = good_.substr(0, kBlock);
  label[156] = 'V';
  label.replace(124, 12, "00000000000\0", 12);
  label.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : label) sum += static_cast<unsigned char>(c);
  label.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  EXPECT_EQ(Read(Padded(label + std::string(2 * kBlock, '\0'), 10240) + good_), whole_);
  EXPECT_EQ(warnings_, "");
}

/// A sidecar as the format before this one had it.
std::string Outdated(std::string sidecar) {
  sidecar.replace(0, 8, "FCLIPSC2");
  sidecar.erase(56, 16);
  const std::uint64_t hash = XXH3_64bits(sidecar.data(), 80);
  std::memcpy(sidecar.data() + 80, &hash, sizeof(hash));
  return sidecar;
}

TEST_F(TarHoles, AreLookedForAgainWhereAnEarlierVersionStopped) {
  SourceOptions options;
  options.add_checksums = true;
  OpenSource(path_, options);
  const std::string sidecar = ReadFile(path_ + ".fastclip");
  const auto again = [&](const SourceOptions& with) {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      if (entry.path().extension() == ".manifest") fs::remove(entry.path());
    }
    WriteFile(path_ + ".fastclip", Outdated(sidecar));
    return OpenSourceWithInfo(path_, with);
  };
  const OpenedSource plain = again({});
  EXPECT_EQ(plain.parts[0].walked, 1);
  EXPECT_EQ(plain.parts[0].checksummed, 1);  // they are kept
  EXPECT_EQ(ReadFile(path_ + ".fastclip"), sidecar);
  SourceOptions verified;
  verified.verify_checksums = true;
  EXPECT_EQ(Summary(ReadAll(*again(verified).source)), whole_);
}

}  // namespace
}  // namespace fastclip
