#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fastclip {

/// Small named values that all ranks share, for rendezvous and for reporting failures. No call
/// waits for another rank; each throws CommError if the store's host cannot be reached.
class Store {
 public:
  virtual ~Store() = default;
  virtual void Set(const std::string& key, const std::string& value) = 0;
  /// Nothing if the key was never set.
  virtual std::optional<std::string> Get(const std::string& key) = 0;
  /// Whether this call set it; the first of several wins.
  virtual bool SetIfAbsent(const std::string& key, const std::string& value) = 0;
  /// Adds to a counter that starts at 0, and returns its new value.
  virtual std::int64_t Add(const std::string& count, std::int64_t more) = 0;
  virtual void Push(const std::string& queue, const std::string& value) = 0;
  /// Nothing if the queue is empty. Only one rank can take from a queue.
  virtual std::optional<std::string> Pop(const std::string& queue) = 0;
  /// The same values over a connection of its own, for another thread.
  virtual std::unique_ptr<Store> Clone() = 0;
};

}  // namespace fastclip
