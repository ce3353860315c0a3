#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "tests/support/stand_in_device.h"

namespace fastclip::stand_in {

/// Behind what was enqueued on a stream before `position`.
struct StreamPlace {
  std::int64_t stream = 0, position = 0;
};

/// The streams of the stand-in device, numbered over all devices: queues of copies that are not
/// carried out yet, of waits for other streams, and of calls of other ranks. Thread-safe.
class Streams {
 public:
  std::int64_t New();
  void EnqueueCopy(std::int64_t stream, std::function<void()> copy);
  void EnqueueWait(std::int64_t stream, StreamPlace earlier);
  void EnqueueCall(std::int64_t stream, CallEnd end);
  /// Behind all that is enqueued now.
  StreamPlace End(std::int64_t stream);
  /// Carries out the copies before `place`, and what they wait for. Calls are passed.
  void RunUpTo(StreamPlace place);
  void RunAll(std::int64_t stream) { RunUpTo(End(stream)); }
  /// Throws std::logic_error if a call before `place`, or before what it waits for, has not ended.
  void RefuseOpenCalls(StreamPlace place);

 private:
  struct Entry {
    std::function<void()> copy{};  // or
    StreamPlace earlier{};         // a wait, or nothing
  };
  struct Call {
    std::int64_t position = 0;
    CallEnd end;
  };
  struct Queue {
    std::deque<Entry> waiting;
    std::int64_t done = 0;
    std::vector<Call> calls;  // of this stream, and of those that it waits for
    std::int64_t end() const { return done + static_cast<std::int64_t>(waiting.size()); }
  };

  std::recursive_mutex mutex_;
  std::map<std::int64_t, Queue> queues_;
  std::int64_t last_ = 0;
};

}  // namespace fastclip::stand_in
