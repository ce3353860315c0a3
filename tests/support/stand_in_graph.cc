// Graphs of the stand-in device: the ops that were dispatched, by their CPU kernels and on the same
// memory.

#include "tests/support/stand_in_graph.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <utility>

#include "comm/device_graph.h"
#include "tests/support/stand_in_device.h"
#include "tests/support/stand_in_ops.h"

namespace fastclip::stand_in {
namespace {

struct SavedMemory {
  c10::Storage storage;  // kept alive
  std::vector<char> bytes;
};

struct Recording {
  std::mutex mutex;  // backward passes run in a thread of their own
  std::vector<std::function<void()>> ops;
  std::map<const void*, SavedMemory> before;  // of memory that was there
  std::set<const void*> made;                 // memory that was taken
  std::vector<at::Tensor> alive;

  void PutBack() {
    for (auto& [data, saved] : before) {
      std::memcpy(saved.storage.mutable_data(), saved.bytes.data(), saved.bytes.size());
    }
    before.clear();
  }
};

std::atomic<Recording*> recording = nullptr;

std::vector<at::Tensor> TensorsOf(const torch::jit::Stack& values) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) {
      tensors.push_back(value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
    }
  }
  std::erase_if(tensors, [](const at::Tensor& tensor) { return !tensor.defined(); });
  return tensors;
}

/// Repeats an op; results that are no arguments go to the memory of the recorded ones.
void Repeat(const c10::OperatorHandle& op, const torch::jit::Stack& arguments,
            const std::vector<at::Tensor>& recorded) {
  torch::jit::Stack stack = arguments;
  op.callBoxed(stack);
  const std::vector<at::Tensor> results = TensorsOf(stack);
  if (results.size() != recorded.size()) throw std::logic_error(op.schema().name());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].sizes() != recorded[i].sizes()) {
      throw std::logic_error(op.schema().name() + ": another shape than in the recording");
    }
    if (results[i].storage().data() != recorded[i].storage().data()) {
      recorded[i].copy_(results[i]);
    }
  }
}

class RecordedOps final : public DeviceGraph {
 public:
  void Record(const std::function<void()>& work) override {
    Recording* none = nullptr;
    if (!recording.compare_exchange_strong(none, recorded_.get())) {
      throw std::logic_error("two recordings at once");
    }
    const struct Ending {
      ~Ending() {
        recording = nullptr;
        of.PutBack();
      }
      Recording& of;
    } ending{*recorded_};
    work();
  }

  void Replay() override {
    RepeatOnHost([&] {
      for (const auto& op : recorded_->ops) op();
    });
  }

 private:
  std::unique_ptr<Recording> recorded_ = std::make_unique<Recording>();
};

class EagerOps final : public DeviceGraph {
 public:
  // The work as such: whoever records it keeps alive what it reads.
  void Record(const std::function<void()>& work) override {
    RecordedOps().Record(work);  // as often as the other kind
    work_ = work;
  }
  void Replay() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

void RegisterGraphs() {
  SetDeviceGraphs(kType,
                  []() -> std::unique_ptr<DeviceGraph> { return std::make_unique<RecordedOps>(); });
}

void RegisterEagerGraphs() {
  SetDeviceGraphs(kType,
                  []() -> std::unique_ptr<DeviceGraph> { return std::make_unique<EagerOps>(); });
}

bool IsRecording() { return recording != nullptr; }

void BeforeRecordedOp(const std::vector<at::Tensor>& arguments) {
  Recording* const now = recording;
  if (now == nullptr) return;
  const std::lock_guard lock(now->mutex);
  for (const at::Tensor& tensor : arguments) {
    if (!tensor.defined() || tensor.storage().nbytes() == 0) continue;
    const void* const data = tensor.storage().data();
    if (now->made.contains(data) || now->before.contains(data)) continue;
    const char* const first = static_cast<const char*>(data);
    now->before[data] = {tensor.storage(),
                         std::vector<char>(first, first + tensor.storage().nbytes())};
  }
}

void RecordOp(const c10::OperatorHandle& op, const torch::jit::Stack& arguments,
              const torch::jit::Stack& results, bool is_view) {
  Recording* const now = recording;
  if (now == nullptr) return;
  std::vector<at::Tensor> made = TensorsOf(results);
  const std::lock_guard lock(now->mutex);
  for (const at::Tensor& tensor : made) {
    const void* const data = tensor.storage().data();
    if (!now->before.contains(data)) now->made.insert(data);
    now->alive.push_back(tensor);  // the next op must not get this memory
  }
  if (is_view || op.schema().name().starts_with("aten::empty")) return;
  now->ops.emplace_back([op, arguments, made] { Repeat(op, arguments, made); });
}

void RecordCopy(const at::Tensor& from, const at::Tensor& to) {
  Recording* const now = recording;
  if (now == nullptr) return;
  const std::lock_guard lock(now->mutex);
  now->ops.emplace_back([from, to] { to.copy_(from); });
}

void RefuseInRecording(const char* what) {
  if (recording != nullptr)
    throw std::logic_error(fmt::format("{} while a graph is recorded", what));
}

}  // namespace fastclip::stand_in
