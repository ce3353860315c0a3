#include "pipeline/loader/compute_pool.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <new>
#include <stdexcept>

namespace fastclip {

// This file is compiled without TSan's instrumentation: Debian's libtbb has none, so that the
// handshake of TBB's inlined half with it would look like races. What a task is given passes
// through the annotated hand-over in batch_loader.cc, so that ours is still checked. Therefore
// nothing of the standard library that synchronises belongs here.
struct ComputePool::Impl {
  // Only for its end: the process's last pool waits there until TBB's threads are gone, so that
  // none outlives main().
  ~Impl() {
    arena.terminate();
    tbb::finalize(runtime, std::nothrow);  // fails, as it should, while another pool lives
  }

  tbb::task_scheduler_handle runtime{tbb::attach{}};
  // TBB counts threads per process and stops at the number of cores, the smallest limit of all that
  // are set. Each arena bounds its own threads; this only keeps two loaders, or more threads than
  // cores, from starving each other. TBB itself never makes more.
  tbb::global_control process_threads{tbb::global_control::max_allowed_parallelism, kMostThreads};
  tbb::task_arena arena;
};

ComputePool::ComputePool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads < 1 || threads > kMostThreads) {
    throw std::invalid_argument("a compute pool needs 1 to 256 threads");
  }
  impl_->arena.initialize(threads, /*reserved_for_masters=*/0);
}

ComputePool::~ComputePool() = default;

void ComputePool::Start(void (*run)(void*) noexcept, void* argument) {
  impl_->arena.enqueue([run, argument] { run(argument); });
}

}  // namespace fastclip
