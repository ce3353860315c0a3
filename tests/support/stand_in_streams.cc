#include "tests/support/stand_in_streams.h"

#include <stdexcept>
#include <utility>

namespace fastclip::stand_in {

std::int64_t Streams::New() {
  const std::lock_guard lock(mutex_);
  return ++last_;
}

void Streams::EnqueueCopy(std::int64_t stream, std::function<void()> copy) {
  const std::lock_guard lock(mutex_);
  queues_[stream].waiting.push_back({.copy = std::move(copy)});
}

void Streams::EnqueueWait(std::int64_t stream, StreamPlace earlier) {
  const std::lock_guard lock(mutex_);
  Queue& queue = queues_[stream];
  if (stream != earlier.stream) {
    for (const Call& call : queues_[earlier.stream].calls) {
      if (call.position >= earlier.position || call.end->load()) continue;
      queue.calls.push_back({queue.end(), call.end});
    }
  }
  queue.waiting.push_back({.earlier = earlier});
}

void Streams::EnqueueCall(std::int64_t stream, CallEnd end) {
  const std::lock_guard lock(mutex_);
  Queue& queue = queues_[stream];
  std::erase_if(queue.calls, [](const Call& call) { return call.end->load(); });
  queue.calls.push_back({queue.end(), std::move(end)});
  queue.waiting.emplace_back();  // an event recorded before it has a lower position
}

StreamPlace Streams::End(std::int64_t stream) {
  const std::lock_guard lock(mutex_);
  return {stream, queues_[stream].end()};
}

void Streams::RunUpTo(StreamPlace place) {
  const std::lock_guard lock(mutex_);
  Queue& queue = queues_[place.stream];
  while (!queue.waiting.empty() && queue.done < place.position) {
    const Entry entry = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    ++queue.done;
    if (entry.copy) {
      entry.copy();
    } else if (entry.earlier.position > 0) {
      RunUpTo(entry.earlier);
    }
  }
}

void Streams::RefuseOpenCalls(StreamPlace place) {
  const std::lock_guard lock(mutex_);
  for (const Call& call : queues_[place.stream].calls) {
    if (call.position >= place.position || call.end->load()) continue;
    throw std::logic_error(
        "the host waits behind a call of other ranks without a poll (Communicator::CallsSoFar): "
        "for ever, if one of them is lost");
  }
}

}  // namespace fastclip::stand_in
