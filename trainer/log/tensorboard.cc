#include "trainer/log/tensorboard.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <chrono>
#include <filesystem>

#include "comm/launch.h"

namespace fastclip {
namespace {

// The fields of TensorFlow's event.proto and summary.proto that a scalar needs.
enum Field : int {
  kEventWallTime = 1,     // double
  kEventStep = 2,         // int64
  kEventFileVersion = 3,  // string
  kEventSummary = 5,      // message
  kEventSessionLog = 7,   // message
  kSummaryValue = 1,      // repeated message
  kValueTag = 1,          // string
  kValueSimple = 2,       // float
  kSessionLogStatus = 1,  // enum
};
constexpr std::uint64_t kSessionStart = 1;

enum WireType : int { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <class T>
void AppendFixed(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(value);
  out.append(bytes.data(), bytes.size());
}

void AppendVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void AppendKey(std::string& out, Field field, WireType type) {
  AppendVarint(out, static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(type));
}

void AppendBytes(std::string& out, Field field, std::string_view bytes) {
  AppendKey(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

std::string EventHead(std::int64_t step) {
  std::string event;
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  AppendKey(event, kEventWallTime, kFixed64);
  AppendFixed(event, now.count());
  AppendKey(event, kEventStep, kVarint);
  AppendVarint(event, static_cast<std::uint64_t>(step));
  return event;
}

std::uint32_t MaskedCrc32c(std::string_view bytes) {
  return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u;
}

std::unique_ptr<AppendFile> MakeEventFile(const std::string& folder) {
  std::filesystem::create_directories(folder);
  for (;;) {
    // Readers take a run's files in the order of their names: the time first, to the microsecond.
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    try {
      return std::make_unique<AppendFile>(
          fmt::format("{}/events.out.tfevents.{:010}.{:06}.{}", folder, now / 1'000'000,
                      now % 1'000'000, HostName()),
          AppendFile::Open::kMake);
    } catch (const FileExists&) {  // another start in this very microsecond
    }
  }
}

constexpr std::array<std::uint32_t, 256> MakeCrcTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}

}  // namespace

std::uint32_t Crc32c(std::string_view bytes) {
  static constexpr auto kTable = MakeCrcTable();
  std::uint32_t crc = ~0u;
  for (const char c : bytes)
    crc = kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

TensorboardWriter::TensorboardWriter(const std::string& folder, std::int64_t first_step)
    : file_(MakeEventFile(folder)) {
  std::string version = EventHead(first_step);
  AppendBytes(version, kEventFileVersion, "brain.Event:2");
  Append(version);
  std::string status;
  AppendKey(status, kSessionLogStatus, kVarint);
  AppendVarint(status, kSessionStart);
  std::string start = EventHead(first_step);
  AppendBytes(start, kEventSessionLog, status);
  Append(start);
}

void TensorboardWriter::Write(std::int64_t step, std::span<const Scalar> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    AppendBytes(value, kValueTag, tag);
    AppendKey(value, kValueSimple, kFixed32);
    AppendFixed(value, static_cast<float>(number));
    AppendBytes(summary, kSummaryValue, value);
  }
  std::string event = EventHead(step);
  AppendBytes(event, kEventSummary, summary);
  Append(event);
}

void TensorboardWriter::Append(std::string_view event) {
  // record = length (8 bytes), its masked CRC, the event, its masked CRC
  std::string record;
  AppendFixed(record, static_cast<std::uint64_t>(event.size()));
  AppendFixed(record, MaskedCrc32c(record));
  record.append(event);
  AppendFixed(record, MaskedCrc32c(event));
  file_->Append(record);
}

}  // namespace fastclip
