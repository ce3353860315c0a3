#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fastclip {

/// Small values under names, seen by all ranks: how they meet, and how they tell each other what
/// went wrong. No call waits for another rank; each throws CommError where the store's host cannot
/// be reached.
class Store {
 public:
  virtual ~Store() = default;
  virtual void Set(const std::string& key, const std::string& value) = 0;
  /// Nothing where the key was never set.
  virtual std::optional<std::string> Get(const std::string& key) = 0;
  /// Whether this call set it: the first of several wins.
  virtual bool SetIfAbsent(const std::string& key, const std::string& value) = 0;
  /// Adds to a count that begins at 0, and returns it.
  virtual std::int64_t Add(const std::string& count, std::int64_t more) = 0;
  virtual void Push(const std::string& queue, const std::string& value) = 0;
  /// Nothing where the queue is empty. One rank alone may take from a queue.
  virtual std::optional<std::string> Pop(const std::string& queue) = 0;
  /// The same values over a connection of its own, for another thread.
  virtual std::unique_ptr<Store> Clone() = 0;
};

}  // namespace fastclip
