#include "trainer/state/checkpoint_writer.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <system_error>
#include <utility>
#include <vector>

#include "comm/comm_error.h"
#include "comm/exchange.h"
#include "trainer/state/checkpoint_files.h"
#include "trainer/state/checkpoint_names.h"

namespace fastclip {

namespace {

/// Hashing and copying take a core: training goes first where it uses all of them.
void YieldToOthers() {
  constexpr int kLeast = 19;
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLeast);  // of this thread alone
}

}  // namespace

/// The checkpoint that is being written, first by all ranks, then by rank 0 alone.
struct CheckpointWriter::Draft {
  CheckpointMeta meta;
  CheckpointContent content;
  int keep_last = 0;
  bool in_background = false;
  bool completing = false;   // the files of all ranks are there
  bool told = false;         // HasNews() has returned true
  FileDigests files;         // of this rank; while completing, of all
  std::exception_ptr error;  // of this rank's work
  std::stop_source stop;
  std::future<FileDigests> work;  // of this rank, not yet collected

  void Start(const std::function<FileDigests()>& job) {
    try {
      work = std::async(in_background ? std::launch::async : std::launch::deferred, job);
    } catch (const std::system_error&) {  // no thread: all ranks hear of it
      error = std::current_exception();
    }
  }
  /// Waits for the work, or does it here if it is not for the background.
  void Collect() {
    try {
      files = work.get();
    } catch (const std::exception&) {
      error = std::current_exception();
    }
  }
};

CheckpointWriter::CheckpointWriter(std::string run_folder, Communicator& comm,
                                   HostCopy::FreeMemory free_memory)
    : run_folder_(std::move(run_folder)), comm_(comm), copy_(std::move(free_memory)) {}

CheckpointWriter::~CheckpointWriter() {
  if (draft_ && !alone()) draft_->stop.request_stop();
}

bool CheckpointWriter::Save(const CheckpointMeta& meta, const CheckpointContent& content,
                            int keep_last, How how) {
  if (keep_last < 2) throw std::invalid_argument("keep_last must be at least 2");
  if (draft_) throw std::logic_error("a checkpoint is still being written");
  draft_ = std::make_unique<Draft>();
  draft_->meta = meta;
  draft_->content = content;
  draft_->keep_last = keep_last;
  bool in_background = false;
  try {
    Prepare();
    in_background = how == How::kInBackground && CopyToHost();
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    Fail(error);
  }
  draft_->in_background = in_background;
  StartWriting();
  if (!in_background) Finish();
  return in_background;
}

void CheckpointWriter::Prepare() {
  const auto bytes = GatherNumbers(comm_, BytesToWrite(draft_->content, comm_.rank()));
  Together(comm_, [&] {
    if (comm_.rank() != 0) return;
    BeginCheckpoint(run_folder_, draft_->meta.step,
                    std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}));
  });
}

/// All ranks write in the background, or none.
bool CheckpointWriter::CopyToHost() {
  std::optional<CheckpointContent> copy;
  Together(comm_, [&] { copy = copy_.Of(draft_->content); });
  if (AnyRank(comm_, !copy)) return false;
  draft_->content = std::move(*copy);
  return true;
}

void CheckpointWriter::StartWriting() {
  draft_->Start([this, draft = draft_.get(), rank = comm_.rank()] {
    if (draft->in_background) {
      YieldToOthers();
      copy_.Wait();
    }
    FileDigests files =
        WriteOwnFiles(run_folder_, draft->meta, draft->content, rank, draft->stop.get_token());
    if (alone()) {
      draft->files = files;
      Complete(*draft);
    }
    return files;
  });
}

/// Gives rank 0 what all ranks have written. A collective.
void CheckpointWriter::StartCompleting() {
  nlohmann::json mine = nlohmann::json::object();
  for (const auto& [name, digest] : draft_->files) mine[name] = {digest.size, digest.xxh3};
  for (const std::string& written : GatherTexts(comm_, mine.dump())) {
    const auto digests = nlohmann::json::parse(written);
    for (const auto& [name, digest] : digests.items()) {
      draft_->files[name] = {.size = digest.at(0), .xxh3 = digest.at(1)};
    }
  }
  draft_->completing = true;
  draft_->told = comm_.rank() != 0;
  if (comm_.rank() != 0) return;
  draft_->Start([this, draft = draft_.get()] {
    Complete(*draft);
    return draft->files;
  });
}

/// On rank 0.
void CheckpointWriter::Complete(const Draft& draft) {
  CompleteCheckpoint(run_folder_, draft.meta, draft.files);
  saved_step_ = draft.meta.step;
  RemoveOldCheckpoints(run_folder_, draft.meta.step, draft.keep_last);
}

std::int64_t CheckpointWriter::writing_step() const { return draft_ ? draft_->meta.step : -1; }

CheckpointWriter::Progress CheckpointWriter::Look() {
  if (draft_->work.valid()) {
    if (draft_->work.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      return Progress::kAtWork;
    }
    draft_->Collect();
  }
  return draft_->error ? Progress::kFailed : Progress::kDone;
}

bool CheckpointWriter::HasNews() {
  if (!draft_ || draft_->told) return false;
  return draft_->told = Look() != Progress::kAtWork;
}

void CheckpointWriter::Advance() {
  if (!draft_) return;
  const auto all = GatherNumbers(comm_, static_cast<std::int64_t>(Look()));
  const auto is = [&](Progress progress) {
    return [=](std::int64_t rank) { return rank == static_cast<std::int64_t>(progress); };
  };
  if (std::ranges::any_of(all, is(Progress::kFailed))) return Finish();
  if (std::ranges::any_of(all, is(Progress::kAtWork))) return;
  if (alone() || draft_->completing) return Finish();
  StartCompleting();
}

/// Throws on all ranks if one has failed; then none is at work any more.
void CheckpointWriter::AwaitAll() {
  Together(comm_, [&] {
    if (draft_->work.valid()) draft_->Collect();
    if (draft_->error) std::rethrow_exception(draft_->error);
  });
}

void CheckpointWriter::Finish() {
  if (!draft_) return;
  try {
    AwaitAll();
    if (!alone() && !draft_->completing) {
      StartCompleting();
      AwaitAll();
    }
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    Fail(error);
  }
  last_ = CheckpointPath(run_folder_, draft_->meta.step);
  saved_step_ = draft_->meta.step;
  draft_.reset();
}

void CheckpointWriter::Fail(const std::exception& error) {
  const std::unique_ptr<Draft> failed = std::move(draft_);
  if (comm_.rank() == 0) DropUnfinished(run_folder_, failed->meta.step);
  const bool has_earlier = std::filesystem::exists(last_);
  // After one in the background the run saves its state, and says what to do.
  const std::string text = fmt::format(
      "step {} could not be saved: {}; {}{}", failed->meta.step, error.what(),
      has_earlier ? "the last good checkpoint is " + last_ : "there is no earlier one",
      failed->in_background || !has_earlier ? ""
                                            : "; fix the cause, then continue with resume=true");
  if (const auto* shared = dynamic_cast<const SharedError*>(&error)) {
    throw SharedError(shared->rank(), text);
  }
  throw std::runtime_error(text);
}

void CheckpointWriter::GoOnFrom(const FoundCheckpoint& found) {
  last_ = found.path;
  saved_step_ = found.meta.step;
}

}  // namespace fastclip
