#include "tests/support/stand_in_device.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/stand_in_graph.h"
#include "tests/support/stand_in_ops.h"
#include "tests/support/stand_in_streams.h"

namespace fastclip::stand_in {
namespace {

constexpr int kPoison = 0xff;

std::atomic<std::int64_t> ops = 0, host_reads = 0, blocking_copies = 0, late_copies = 0,
                          uploads_behind_ops = 0, event_waits = 0, idle_waits = 0;
std::array<std::atomic<std::int64_t>, kDevices> ops_of = {};  // each device, never reset

std::mutex by_name_mutex;
std::map<std::string, std::int64_t> by_name;

void CountOp(const std::string& name, int device) {
  ++ops;
  ++ops_of[static_cast<std::size_t>(device)];
  const std::lock_guard lock(by_name_mutex);
  ++by_name[name];
}

// ---- streams

Streams& streams() {
  static auto* const all = new Streams();
  return *all;
}

thread_local int current_device = 0;
thread_local std::array<std::int64_t, kDevices> current_streams = {};  // 0: the default one

/// Streams of all devices are numbered together; the default ones are negative.
std::int64_t CurrentStream(int device) {
  const std::int64_t stream = current_streams[static_cast<std::size_t>(device)];
  return stream == 0 ? -1 - device : stream;
}

/// Before the host waits for what is enqueued before `place`.
void BeginHostWait(const char* what, StreamPlace place) {
  RefuseInRecording(what);
  streams().RefuseOpenCalls(place);
}

struct Event {
  StreamPlace place{};
  std::size_t device = 0;
  std::int64_t ops = 0;  // of the device, when it was recorded
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device device) const override {
    return Device(std::exchange(current_device, device.index()));
  }
  c10::Device getDevice() const override { return Device(current_device); }
  void setDevice(c10::Device device) const override { current_device = device.index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    current_device = device.index();
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }

  c10::Stream getStream(c10::Device device) const override {
    return Of(device, current_streams[Index(device)]);
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return Of(device, 0); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return Of(device, streams().New());
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return Of(device, streams().New());
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return Of(stream.device(), std::exchange(current_streams[Index(stream.device())], stream.id()));
  }
  bool queryStream(const c10::Stream& stream) const override {
    streams().RunAll(QueueOf(stream));
    return true;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    BeginHostWait("a wait for a stream", streams().End(QueueOf(stream)));
    streams().RunAll(QueueOf(stream));
  }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex,
              c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event();
    const auto device = static_cast<std::size_t>(stream.device_index());
    *static_cast<Event*>(*event) = {streams().End(QueueOf(stream)), device, ops_of[device]};
  }
  void block(void* event, const c10::Stream& stream) const override {
    const auto* const of = static_cast<Event*>(event);
    if (of != nullptr) streams().EnqueueWait(QueueOf(stream), of->place);
  }
  bool queryEvent(void* event) const override {
    CarryOut(event);
    return true;
  }
  void synchronizeEvent(void* event) const override {
    const auto* const of = static_cast<Event*>(event);
    BeginHostWait("a wait for an event", of != nullptr ? of->place : StreamPlace{});
    ++event_waits;
    if (of != nullptr && of->ops == ops_of[of->device]) ++idle_waits;
    CarryOut(event);
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

 private:
  static void CarryOut(void* event) {
    const auto* const of = static_cast<Event*>(event);
    if (of != nullptr) streams().RunUpTo(of->place);
  }
  static std::size_t Index(c10::Device device) {
    return static_cast<std::size_t>(device.has_index() ? device.index() : current_device);
  }
  static c10::Stream Of(c10::Device device, std::int64_t id) {
    return c10::Stream(c10::Stream::UNSAFE, Device(static_cast<int>(Index(device))), id);
  }
  static std::int64_t QueueOf(const c10::Stream& stream) {
    return stream.id() == 0 ? -1 - stream.device_index() : stream.id();
  }
};

// ---- memory

std::atomic<std::int64_t> refused_from = -1;  // a value of `ops`
thread_local bool in_kernel = false;

void TakeMemory(std::size_t bytes) {
  std::int64_t from = refused_from;
  if (from < 0 || ops < from || bytes == 0) return;
  if (!refused_from.compare_exchange_strong(from, -1)) return;
  TORCH_CHECK_WITH(OutOfMemoryError, false, "stand_in out of memory. Tried to allocate ", bytes,
                   " bytes.");
}

/// The CPU's allocator, which gives kernels of the device the memory of their results.
class KernelMemory final : public c10::Allocator {
 public:
  explicit KernelMemory(c10::Allocator& cpu) : cpu_(cpu) {}
  c10::DataPtr allocate(std::size_t bytes) override {
    if (in_kernel) TakeMemory(bytes);
    return cpu_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return cpu_.raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    cpu_.copy_data(to, from, bytes);
  }

 private:
  c10::Allocator& cpu_;
};

class DeviceMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    TakeMemory(bytes);
    void* const data = bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (bytes != 0) std::memset(data, kPoison, bytes);
    return {data, data, &std::free, Device(current_device)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

/// Memory that was given back stays, overwritten: a copy that still reads it gives poison.
class Pinned final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const std::size_t size = std::max<std::size_t>((bytes + 63) / 64 * 64, 64);
    auto* const data = static_cast<char*>(std::aligned_alloc(64, size));
    const std::lock_guard lock(mutex_);
    blocks_[data] = size;
    return {data, data, &GiveBack, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &GiveBack; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  bool Holds(const void* place) {
    const std::lock_guard lock(mutex_);
    auto block = blocks_.upper_bound(static_cast<char*>(const_cast<void*>(place)));
    if (block == blocks_.begin()) return false;
    --block;
    return place < block->first + block->second;
  }
  static Pinned& Get() {
    static auto* const memory = new Pinned();
    return *memory;
  }

 private:
  static void GiveBack(void* data) {
    Pinned& own = Get();
    const std::lock_guard lock(own.mutex_);
    std::memset(data, kPoison, own.blocks_.at(static_cast<char*>(data)));
  }

  std::mutex mutex_;
  std::map<char*, std::size_t> blocks_;
};

class Hooks final : public at::PrivateUse1HooksInterface {
 public:
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  c10::DeviceIndex getCurrentDevice() const override {
    return static_cast<c10::DeviceIndex>(current_device);
  }
  void setCurrentDevice(c10::DeviceIndex device) const override { current_device = device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    return static_cast<c10::DeviceIndex>(std::exchange(current_device, device));
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return exchangeDevice(device);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &Pinned::Get(); }
  bool isPinnedPtr(const void* data) const override { return Pinned::Get().Holds(data); }
  c10::Device getDeviceFromPtr(void*) const override { return Device(current_device); }
};

// ---- ops

bool IsOurs(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kType;
}

/// A storage of the other device over the same bytes, which keeps the first alive.
c10::Storage Aliased(const c10::Storage& storage, c10::Device device, c10::Allocator* allocator) {
  auto* const owner = new c10::Storage(storage);
  return c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(),
                      c10::DataPtr(
                          storage.mutable_data(), owner,
                          [](void* of) { delete static_cast<c10::Storage*>(of); }, device),
                      allocator, /*resizable=*/allocator != nullptr);
}

at::Tensor Shaped(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(key), like.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(),
                                                      like.storage_offset());
  return tensor;
}

at::Tensor OnHost(const at::Tensor& tensor) {
  return Shaped(Aliased(tensor.storage(), c10::Device(c10::kCPU), c10::GetAllocator(c10::kCPU)),
                c10::DispatchKey::CPU, tensor);
}

/// The tensors of one call: those of the device with their aliases.
class Call {
 public:
  explicit Call(std::string name) : name_(std::move(name)) {}

  c10::IValue Argument(const c10::IValue& value) {
    if (value.isTensor()) return Host(value.toTensor());
    if (value.isDevice() && value.toDevice().type() == kType) {
      if (value.toDevice().has_index()) device_ = value.toDevice();
      return c10::Device(c10::kCPU);
    }
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(Host(tensor));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const auto& tensor : value.toOptionalTensorVector()) {
        list.push_back(tensor ? std::optional(Host(*tensor)) : tensor);
      }
      return list;
    }
    return value;
  }

  c10::IValue Result(const c10::IValue& value) {
    if (value.isTensor()) return Ours(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(Ours(tensor));
      return list;
    }
    return value;
  }

  /// Arguments that an out= call has resized get their alias's memory.
  void TakeResized() {
    for (auto& [ours, host] : pairs_) {
      if (ours.sizes() == host.sizes() && ours.strides() == host.strides()) continue;
      c10::TensorImpl* const impl = ours.unsafeGetTensorImpl();
      impl->set_storage_keep_dtype(Aliased(host.storage(), ours.device(), nullptr));
      impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
    }
  }
  bool is_view() const { return is_view_; }
  int device() const { return device_.index(); }
  std::vector<at::Tensor> on_host() const {
    std::vector<at::Tensor> all;
    for (const auto& [ours, host] : pairs_) all.push_back(host);
    return all;
  }
  /// Also carries out what the op has to wait for.
  void Begin() const {
    if (!pairs_.empty() && on_cpu_) {
      throw std::invalid_argument(name_ + ": tensors of the device and of the CPU in one op");
    }
    if (on_others_) throw std::invalid_argument(name_ + ": tensors of two devices in one op");
    streams().RunAll(CurrentStream(device_.index()));
  }

 private:
  at::Tensor Host(const at::Tensor& tensor) {
    if (!IsOurs(tensor)) {
      if (tensor.defined() && tensor.device().is_cpu() && tensor.dim() > 0) on_cpu_ = true;
      return tensor;
    }
    for (const auto& [ours, host] : pairs_) {
      if (ours.is_same(tensor)) return host;
    }
    if (!pairs_.empty() && tensor.device() != device_) on_others_ = true;
    device_ = tensor.device();
    return pairs_.emplace_back(tensor, OnHost(tensor)).second;
  }

  at::Tensor Ours(const at::Tensor& result) {
    if (!result.defined()) return result;
    for (const auto& [ours, host] : pairs_) {
      if (host.is_same(result)) return ours;
    }
    for (const auto& [ours, host] : pairs_) {  // a view
      if (host.storage().unsafeGetStorageImpl() == result.storage().unsafeGetStorageImpl()) {
        is_view_ = true;
        return Shaped(ours.storage(), c10::DispatchKey::PrivateUse1, result);
      }
    }
    return Shaped(Aliased(result.storage(), device_, nullptr), c10::DispatchKey::PrivateUse1,
                  result);
  }

  std::string name_;
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;
  c10::Device device_ = Device(current_device);
  bool on_cpu_ = false, on_others_ = false;
  bool is_view_ = false;
};

/// Kernels run below autograd and autocast.
struct KernelScope {
  KernelScope() : before(std::exchange(in_kernel, true)) {}
  ~KernelScope() { in_kernel = before; }
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;

  bool before;
  c10::impl::ExcludeDispatchKeyGuard guard{c10::autograd_dispatch_keyset_with_ADInplaceOrView |
                                           c10::autocast_dispatch_keyset};
};

/// Whether the size or the value of the result makes a GPU's host wait.
bool ReadsInside(std::string_view op) {
  constexpr std::string_view kReading[] = {"aten::nonzero", "aten::masked_select", "aten::equal",
                                           "aten::_unique2", "aten::repeat_interleave"};
  return std::ranges::find(kReading, op) != std::end(kReading);
}

}  // namespace

void RepeatOnHost(const std::function<void()>& ops_of_graph) {
  const KernelScope scope;
  streams().RunAll(CurrentStream(current_device));
  CountOp("graph", current_device);
  ops_of_graph();
}

void RunOnHost(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const KernelScope scope;
  const auto& schema = op.schema();
  Call call(schema.name());
  const std::size_t arguments = schema.arguments().size();
  for (auto value = stack->end() - static_cast<std::ptrdiff_t>(arguments); value != stack->end();
       ++value) {
    *value = call.Argument(*value);
  }
  if (ReadsInside(schema.name())) {
    BeginHostWait("a wait of the host", streams().End(CurrentStream(call.device())));
    ++host_reads;
  }
  call.Begin();
  torch::jit::Stack given;
  if (IsRecording()) {
    given.assign(stack->end() - static_cast<std::ptrdiff_t>(arguments), stack->end());
    BeforeRecordedOp(call.on_host());
  }
  op.callBoxed(stack);
  const std::size_t results = schema.returns().size();
  const torch::jit::Stack made(stack->end() - static_cast<std::ptrdiff_t>(results), stack->end());
  for (auto value = stack->end() - static_cast<std::ptrdiff_t>(results); value != stack->end();
       ++value) {
    *value = call.Result(*value);
  }
  call.TakeResized();
  RecordOp(op, given, made, call.is_view());
  if (!call.is_view() && !schema.name().starts_with("aten::empty")) {
    CountOp(schema.name(), call.device());
  }
}

namespace {

at::Scalar ReadScalar(const at::Tensor& tensor) {
  const std::int64_t stream = CurrentStream(tensor.device().index());
  BeginHostWait("a wait of the host", streams().End(stream));
  const KernelScope scope;
  streams().RunAll(stream);
  ++host_reads;
  return at::_local_scalar_dense(OnHost(tensor));
}

void Poison(const at::Tensor& host) {
  if (host.is_non_overlapping_and_dense()) {
    std::memset(host.mutable_data_ptr(), kPoison, host.nbytes());
  }
}

at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const bool to_device = IsOurs(to), from_device = IsOurs(from);
  const at::Tensor source = from_device ? OnHost(from) : from;
  const at::Tensor target = to_device ? OnHost(to) : to;
  const KernelScope scope;
  const std::int64_t stream = CurrentStream((to_device ? to : from).device().index());
  streams().RunAll(stream);
  if (to_device && from_device) {
    CountOp("aten::copy_", to.device().index());
    BeforeRecordedOp({source, target});
    target.copy_(source);
    RecordCopy(source, target);
    return to;
  }
  RefuseInRecording("a copy between host and device");
  const at::Tensor& on_cpu = to_device ? from : to;
  // As CUDA: without page-locked memory the host waits.
  if (non_blocking && Pinned::Get().Holds(on_cpu.const_data_ptr())) {
    ++late_copies;
    if (to_device && stream < 0) ++uploads_behind_ops;
    Poison(target);
    // Device memory that is freed is used again behind what its stream still does. The host's bytes
    // are not kept alive: giving them back early must show.
    at::Tensor bytes = source;
    if (!from_device) {
      bytes = at::from_blob(source.mutable_data_ptr(), source.sizes(), source.strides(),
                            source.options().requires_grad(false));
    }
    streams().EnqueueCopy(stream, [bytes, target] { target.copy_(bytes); });
    return to;
  }
  streams().RefuseOpenCalls(streams().End(stream));
  if (to_device) {
    ++blocking_copies;
  } else {
    ++host_reads;
  }
  target.copy_(source);
  return to;
}

/// Memory that is freed is not used again before its copies are carried out: nothing to note.
void RecordStream(at::Tensor& tensor, c10::Stream) {
  if (!IsOurs(tensor)) throw std::invalid_argument("record_stream: not a tensor of the device");
}

at::Tensor Convolution(const at::Tensor& input, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, std::int64_t groups) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, input, weight, bias, stride, padding, dilation, transposed,
                   output_padding, groups);
  RunOnHost(op, &stack);
  return stack.front().toTensor();
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ConvolutionBackward(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, std::int64_t groups, std::array<bool, 3> mask) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution_backward", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, gradient, input, weight, at::OptionalIntArrayRef(), stride, padding,
                   dilation, transposed, output_padding, groups, mask);
  RunOnHost(op, &stack);
  return {stack[0].toTensor(), stack[1].toTensor(), stack[2].toTensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&RunOnHost>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_local_scalar_dense", &ReadScalar);
  m.impl("_copy_from", &CopyFrom);
  m.impl("record_stream", &RecordStream);
  // A GPU has kernels over lists; the default would be an op for each tensor.
  for (const char* op :
       {"_foreach_norm.Scalar", "_foreach_mul_.Scalar", "_foreach_mul_.Tensor",
        "_foreach_add_.Scalar", "_foreach_add_.List", "_foreach_sub_.List",
        "_foreach_addcmul_.Scalar", "_foreach_sqrt", "_foreach_reciprocal_", "_foreach_sign_",
        "_foreach_mul_.List", "_foreach_lerp.Scalar", "_foreach_lerp_.Scalar"}) {
    m.impl(op, torch::CppFunction::makeFromBoxedFunction<&RunOnHost>());
  }
  m.impl("convolution_overrideable", &Convolution);
  // Has statistics in float32, as on a GPU; ATen's own for any device has them in x's type.
  m.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&RunOnHost>());
  m.impl("convolution_backward_overrideable", &ConvolutionBackward);
}

// As on a GPU: products in the lower precision, norms and softmax in float32.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define FASTCLIP_LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(FASTCLIP_LOWER)
#undef FASTCLIP_LOWER
#define FASTCLIP_FLOAT(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
  AT_FORALL_FP32(FASTCLIP_FLOAT)
#undef FASTCLIP_FLOAT
#define FASTCLIP_FLOAT(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(FASTCLIP_FLOAT)
#undef FASTCLIP_FLOAT
#define FASTCLIP_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_PROMOTE(FASTCLIP_PROMOTE)
#undef FASTCLIP_PROMOTE
}

void Register() {
  static const bool once = [] {
    // Backward passes run in threads of their own, which take the number when they start; with
    // another number kernels add up in another order.
    at::set_num_threads(1);
    static DeviceMemory memory;
    static Hooks hooks;
    static Guard guard;
    static KernelMemory kernels(*c10::GetCPUAllocator());
    c10::SetCPUAllocator(&kernels, /*priority=*/1);
    c10::register_privateuse1_backend("stand_in");
    c10::SetAllocator(kType, &memory);
    c10::impl::registerDeviceGuard(kType, &guard);
    at::RegisterPrivateUse1HooksInterface(&hooks);
    return true;
  }();
  static_cast<void>(once);
}

Counts counts() {
  return {.ops = ops,
          .host_reads = host_reads,
          .blocking_copies = blocking_copies,
          .late_copies = late_copies,
          .uploads_behind_ops = uploads_behind_ops,
          .event_waits = event_waits,
          .idle_waits = idle_waits};
}

std::map<std::string, std::int64_t> OpsByName() {
  const std::lock_guard lock(by_name_mutex);
  return by_name;
}

void ResetCounts() {
  const std::lock_guard lock(by_name_mutex);
  by_name.clear();
  ops = host_reads = blocking_copies = late_copies = uploads_behind_ops = 0;
  event_waits = idle_waits = 0;
}

void RefuseMemory(std::int64_t after) { refused_from = after < 0 ? -1 : ops + after; }

CallEnd EnqueueCall(c10::Device device) {
  auto end = std::make_shared<std::atomic<bool>>(false);
  streams().EnqueueCall(CurrentStream(device.index()), end);
  return end;
}

c10::Allocator& PinnedMemory() { return Pinned::Get(); }

}  // namespace fastclip::stand_in
