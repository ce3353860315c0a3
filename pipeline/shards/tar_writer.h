#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// Writes one shard as an AtomicFile. Equal members give equal bytes: it has no times, owners or
/// machine-specific values. Throws std::system_error on disk errors.
class TarWriter {
 public:
  explicit TarWriter(const std::string& path);
  /// Without Close() the file is removed.
  ~TarWriter();
  TarWriter(TarWriter&&) noexcept;
  TarWriter& operator=(TarWriter&&) noexcept;

  void Add(std::string_view name, std::span<const std::byte> bytes);
  /// Bytes written so far.
  std::int64_t size() const;
  /// Finishes the tar and gives it its name.
  void Close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fastclip
