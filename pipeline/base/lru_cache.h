#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

#include "pipeline/base/mutex.h"

namespace fastclip {

/// Keeps the most recently used values. Thread-safe; a value in use outlives its eviction.
template <class Key, class Value>
class LruCache {
 public:
  explicit LruCache(std::size_t capacity) : capacity_(capacity) {}

  std::size_t capacity() const { return capacity_; }

  /// The key's value; null if there is none.
  std::shared_ptr<const Value> Find(const Key& key) {
    const MutexLock lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return found->second->second;
  }

  /// The key's value after the call: if two threads put one, the first is kept.
  std::shared_ptr<const Value> Put(const Key& key, Value value) {
    auto added = std::make_shared<const Value>(std::move(value));
    const MutexLock lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) return found->second->second;
    by_use_.emplace_front(key, added);
    by_key_.emplace(key, by_use_.begin());
    if (by_use_.size() > capacity_) {
      by_key_.erase(by_use_.back().first);
      by_use_.pop_back();
    }
    return added;
  }

  /// Drops the least recently used value; false if there is none.
  bool DropOldest() {
    const MutexLock lock(mutex_);
    if (by_use_.empty()) return false;
    by_key_.erase(by_use_.back().first);
    by_use_.pop_back();
    return true;
  }

  void Forget(const Key& key) {
    const MutexLock lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      by_use_.erase(found->second);
      by_key_.erase(found);
    }
  }

 private:
  using Entry = std::pair<Key, std::shared_ptr<const Value>>;
  const std::size_t capacity_;
  Mutex mutex_;
  std::list<Entry> by_use_ FASTCLIP_GUARDED_BY(mutex_);  // the latest first
  std::unordered_map<Key, typename std::list<Entry>::iterator> by_key_ FASTCLIP_GUARDED_BY(mutex_);
};

}  // namespace fastclip
