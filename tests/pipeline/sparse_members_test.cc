#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

/// A header of 512 bytes with its checksum.
std::string Header(const std::string& name, char type, std::size_t size,
                   const std::string& from_386 = "") {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 7, "0000644");
  header.replace(124, 11, fmt::format("{:011o}", size));
  header.replace(136, 11, "00000000000");
  header[156] = type;
  header.replace(257, 8, "ustar  \0", 8);
  header.replace(386, from_386.size(), from_386);
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return header;
}

std::string Octal(std::size_t value) { return fmt::format("{:011o}", value) + '\0'; }

std::string Blocks(std::string bytes) {
  bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
  return bytes;
}

std::string Plain(const std::string& name, const std::string& bytes) {
  return Header(name, '0', bytes.size()) + Blocks(bytes);
}

/// As `tar --sparse --format=gnu` writes a file of `size` bytes, of which "front" begins it and
/// "back" lies at 1,024.
std::string GnuSparse(const std::string& name, std::size_t size) {
  std::string map = Octal(0) + Octal(512) + Octal(1024) + Octal(4) + std::string(48, '\0');
  map += '\0';  // no more of it
  return Header(name, 'S', 516, map + Octal(size)) + Blocks("front") + Blocks("back");
}

std::string Expanded(std::size_t size) {
  std::string bytes(size, '\0');
  bytes.replace(0, 5, "front");
  bytes.replace(1024, 4, "back");
  return bytes;
}

/// The same as libarchive writes it: attributes, and the map before the data.
std::string PaxSparse(const std::string& name, std::size_t size) {
  std::string bytes(64 << 10, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax(writer);
  archive_write_set_bytes_in_last_block(writer, 1);
  archive_write_open_memory(writer, bytes.data(), bytes.size(), &used);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, static_cast<la_int64_t>(size));
  archive_entry_sparse_add_entry(entry, 0, 512);
  archive_entry_sparse_add_entry(entry, 1024, 4);
  EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK);
  const std::string data = Expanded(size);
  archive_write_data(writer, data.data(), data.size());
  archive_entry_free(entry);
  archive_write_free(writer);
  return bytes.substr(0, used - 1024);
}

Lines Read(const std::string& path, const std::string& bytes) {
  WriteFile(path, bytes + std::string(1024, '\0'));
  const OpenedSource opened = OpenSourceWithInfo(path);
  EXPECT_TRUE(opened.parts[0].warnings.empty()) << opened.parts[0].warnings.front();
  return Summary(ReadAll(*opened.source));
}

TEST(SparseMembers, AreReadWithTheirHoles) {
  const TemporaryFolder folder;
  const Lines expected = {"a|image|first|-1|", "b|" + Expanded(2048) + "|second|-1|",
                          "c|image|third|-1|"};
  const std::string before = Plain("a.jpg", "image") + Plain("a.txt", "first"),
                    after = Plain("b.txt", "second") + Plain("c.jpg", "image") +
                            Plain("c.txt", "third");
  EXPECT_EQ(Read(folder / "gnu.tar", before + GnuSparse("b.jpg", 2048) + after), expected);
  EXPECT_EQ(Read(folder / "pax.tar", before + PaxSparse("b.jpg", 2048) + after), expected);
}

TEST(SparseMembers, EndARecordWhereTheirBytesEnd) {
  const TemporaryFolder folder;
  const std::string last = Plain("b.txt", "text") + GnuSparse("b.jpg", 4096);
  EXPECT_EQ(Read(folder / "0.tar", last), Lines{"b|" + Expanded(4096) + "|text|-1|"});
}

TEST(SparseMembers, ThatAreAllHoleAreTooLarge) {
  const TemporaryFolder folder;
  const Lines lines =
      Read(folder / "0.tar", GnuSparse("a.jpg", std::size_t{1} << 32) + Plain("a.txt", "a") +
                                 Plain("b.jpg", "image") + Plain("b.txt", "b"));
  EXPECT_EQ(lines, (Lines{"a|||-1|too_large", "b|image|b|-1|"}));
}

TEST(SparseMembers, OfARecordShareItsLimitOfBytes) {
  const TemporaryFolder folder;
  const std::string member = GnuSparse("a.jpg", 16 << 10), other = GnuSparse("a.bin", 16 << 10);
  WriteFile(folder / "0.tar", member + other + Plain("a.txt", "a") + std::string(1024, '\0'));
  SourceOptions options;
  options.max_record_bytes = 40 << 10;
  EXPECT_EQ(ReadAll(*OpenSource(folder / "0.tar", options)).records[0].skip, std::nullopt);
  options.max_record_bytes = 24 << 10;
  EXPECT_EQ(ReadAll(*OpenSource(folder / "0.tar", options)).records[0].skip, Skip::kTooLarge);
}

}  // namespace
}  // namespace fastclip
