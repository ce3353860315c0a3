#include "trainer/step/activation_bytes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string_view>

#include "trainer/model/autocast.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/step/live_bytes.h"

namespace fastclip {
namespace {

/// What layer norms hold on a GPU beyond what they hold on the CPU, while one of this thread lives.
///
/// CUDA's autocast widens a norm's input to float32, and backward keeps that copy; the CPU's keeps
/// the input as it is. So does a GPU if the model switches autocast off for its norms, but for
/// float16, which it has to widen itself.
class WideNorms {
 public:
  explicit WideNorms(bool half) {
    bytes_ = 0;
    half_ = half;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&Count).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~WideNorms() { at::removeCallback(handle_); }
  WideNorms(const WideNorms&) = delete;
  WideNorms& operator=(const WideNorms&) = delete;

  static std::int64_t bytes() { return bytes_; }

 private:
  static std::unique_ptr<at::ObserverContext> Count(const at::RecordFunction& call) {
    if (std::string_view(call.name()) != "aten::layer_norm" || !c10::GradMode::is_enabled()) {
      return nullptr;
    }
    const auto inputs = call.inputs();  // x, shape, weight, …
    const at::Tensor& x = inputs[0].toTensor();
    const bool learns =
        x.requires_grad() || (inputs[2].isTensor() && inputs[2].toTensor().requires_grad());
    if (!learns || x.element_size() >= 4 ||
        !(half_ || at::autocast::is_autocast_enabled(at::kCPU))) {
      return nullptr;
    }
    bytes_ += x.numel() * (4 - x.element_size());
    return nullptr;
  }

  // A callback is a plain function.
  static thread_local std::int64_t bytes_;
  static thread_local bool half_;
  at::CallbackHandle handle_;
};
thread_local std::int64_t WideNorms::bytes_ = 0;
thread_local bool WideNorms::half_ = false;

/// The kind of pass that is counted, and its autocast.
struct Types {
  std::optional<at::ScalarType> autocast;
  bool gpu_norms = false;  ///< WideNorms
  bool half = false;
  bool evaluation = false;  ///< no gradients: the peak counts, not what is held for them

  TowerMode mode() const { return evaluation ? TowerMode::kEvaluate : TowerMode::kTrain; }
};

/// What is alive after `forward(rows)`, whose result holds its graph, for each further row; or at
/// most during an evaluation's.
template <class Forward>
std::int64_t BytesPerRow(const Types& types, const Forward& forward) {
  const auto held = [&](std::int64_t rows) {
    const auto live = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
    std::optional<WideNorms> norms;
    if (types.gpu_norms) norms.emplace(types.half);
    std::optional<at::NoGradGuard> no_grad;
    if (types.evaluation) no_grad.emplace();
    const AutocastGuard autocast(at::kCPU, types.autocast);
    const auto kept = forward(rows);
    if (types.evaluation) return live->peak();
    return live->value() + (norms ? WideNorms::bytes() : 0);
  };
  // A peak is of the same op for all numbers of rows if these are not too few.
  const std::int64_t few = types.evaluation ? 8 : 2;
  return (held(2 * few) - held(few)) / few;
}

struct Kept {
  at::Tensor input, places, features;
};

std::int64_t ImageBytesPerRow(const ClipModel& model, const Types& types) {
  const std::int64_t size = model.config().vision.image_size;
  const at::TensorOptions like = model.logit_scale().options().requires_grad(false);
  return BytesPerRow(types, [&](std::int64_t rows) {
    const at::Tensor images =
        at::zeros({rows, 3, size, size}, like).contiguous(at::MemoryFormat::ChannelsLast);
    return Kept{images, {}, model.EncodeImage(images, types.mode())};
  });
}

std::int64_t TextBytesPerRow(const ClipModel& model, std::int64_t length, const Types& types) {
  return BytesPerRow(types, [&](std::int64_t rows) {
    const at::Tensor tokens = at::zeros({rows, length}, at::kLong);
    const at::Tensor pool = at::full({rows}, length - 1, at::kLong);
    return Kept{tokens, pool, model.EncodeText(tokens, pool)};
  });
}

/// The polynomial of degree 2 through three points.
double Through(const std::array<double, 3>& x, const std::array<double, 3>& y, double at) {
  double sum = 0;
  for (int i = 0; i < 3; ++i) {
    double term = y[i];
    for (int j = 0; j < 3; ++j) {
      if (j != i) term *= (at - x[j]) / (x[i] - x[j]);
    }
    sum += term;
  }
  return sum;
}

/// A transformer's blocks as far as a row's memory depends on them.
struct Depth {
  std::int64_t layers = 0;    // all
  std::int64_t learning = 0;  // the last ones, which keep a graph
  std::int64_t unlocked = 0;  // LockOptions' groups, where the tower is locked

  Depth(std::int64_t all, bool locked, std::int64_t groups)
      : layers(all),
        learning(locked ? std::clamp<std::int64_t>(groups - 1, 0, all) : all),
        unlocked(groups) {}

  /// The same tower with fewer learning blocks; of the others, if any, one stands for all.
  Depth Cut(std::int64_t to) const {
    Depth cut = *this;
    cut.layers = to + (layers > learning ? 1 : 0);
    cut.learning = to;
    if (unlocked > 0) cut.unlocked = unlocked - learning + to;
    return cut;
  }
};

/// `count` of the tower itself, from counts over towers of few blocks: the first and the last block
/// are unlike the others, which are all alike.
double AtDepth(const Depth& depth, const std::function<double(const Depth&)>& count) {
  constexpr std::int64_t kFew = 2;
  if (depth.learning <= kFew + 1) return count(depth.Cut(depth.learning));
  const double few = count(depth.Cut(kFew)), more = count(depth.Cut(kFew + 1));
  return few + (more - few) * static_cast<double>(depth.learning - kFew);
}

/// A tower that costs next to nothing, beside the one that is counted.
const VisionConfig kNoVision{
    .image_size = 1, .patch_size = 1, .width = 1, .layers = 1, .head_width = 1};
constexpr TextConfig kNoText{
    .context_length = 2, .vocab_size = 2, .width = 1, .heads = 1, .layers = 1};

constexpr std::array<std::int64_t, 3> kSides = {2, 3, 4};      // patches, or a ResNet's places
constexpr std::array<std::int64_t, 3> kLengths = {8, 12, 16};  // ids

// The towers that are counted are too small to share out: threads would mostly wait for each other.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

class Count {
 public:
  Count(const ModelConfig& model, const LockOptions& lock, const Precision& precision,
        bool grad_checkpointing, bool on_gpu, bool evaluation = false)
      : model_(model),
        lock_(lock),
        precision_(precision),
        // Both halves hold the same bytes, and a CPU is quick with one of them only.
        types_{.autocast = precision.autocast ? std::optional(at::kBFloat16) : std::nullopt,
               .gpu_norms = on_gpu && precision.autocast.has_value(),
               .half = precision.autocast == at::kHalf,
               .evaluation = evaluation},
        grad_checkpointing_(grad_checkpointing) {}

  double Image() const {
    const VisionConfig& vision = model_.vision;
    if (vision.is_resnet()) {
      const double places = std::pow(static_cast<double>(vision.image_size / kResNetShrink), 2);
      return AtPlaces(places, /*besides=*/0, [&](std::int64_t side) {
        ModelConfig cut = model_;
        cut.vision.image_size = side * kResNetShrink;
        return ImageOf(cut, lock_.image_unlocked_groups);
      });
    }
    const Depth depth(vision.layers, lock_.image, lock_.image_unlocked_groups);
    return AtDepth(depth, [&](const Depth& few) {
      return AtPlaces(static_cast<double>(vision.patches()), /*besides=*/1, [&](std::int64_t side) {
        ModelConfig cut = model_;
        cut.vision.layers = few.layers;
        cut.vision.image_size = side * vision.patch_size;
        return ImageOf(cut, few.unlocked);
      });
    });
  }

  double Text() const {
    const Depth depth(model_.text.layers, lock_.text, lock_.text_unlocked_layers);
    return AtDepth(depth, [&](const Depth& few) {
      ModelConfig cut = model_;
      cut.vision = kNoVision;
      cut.text.vocab_size = 2;
      cut.text.context_length = kLengths.back();
      cut.text.layers = few.layers;
      LockOptions lock{.text = lock_.text, .text_unlocked_layers = few.unlocked};
      const auto model = Make(cut, lock);
      std::array<double, 3> x, y;
      for (int i = 0; i < 3; ++i) {
        x[i] = static_cast<double>(kLengths[i]);
        y[i] = static_cast<double>(TextBytesPerRow(*model, kLengths[i], types_));
      }
      return Through(x, y, static_cast<double>(model_.text.context_length));
    });
  }

 private:
  std::unique_ptr<ClipModel> Make(const ModelConfig& config, const LockOptions& lock) const {
    auto model = std::make_unique<ClipModel>(config, FreshWeights::kZero, /*init_temperature=*/1,
                                             precision_.parameters, lock);
    model->set_grad_checkpointing(grad_checkpointing_);
    model->set_residual_fp32(precision_.image_residual_fp32, precision_.text_residual_fp32);
    return model;
  }

  double ImageOf(ModelConfig cut, std::int64_t unlocked) const {
    cut.text = kNoText;
    LockOptions lock = lock_;
    lock.image_unlocked_groups = unlocked;
    lock.text = false;
    lock.text_unlocked_layers = 0;
    return static_cast<double>(ImageBytesPerRow(*Make(cut, lock), types_));
  }

  static double AtPlaces(double places, std::int64_t besides,
                         const std::function<double(std::int64_t)>& count) {
    std::array<double, 3> x, y;
    for (int i = 0; i < 3; ++i) {
      x[i] = static_cast<double>(kSides[i] * kSides[i] + besides);
      y[i] = count(kSides[i]);
    }
    return Through(x, y, places + static_cast<double>(besides));
  }

  const ModelConfig& model_;
  const LockOptions& lock_;
  const Precision& precision_;
  Types types_;
  bool grad_checkpointing_;
};

}  // namespace

std::int64_t ActivationBytesPerRow(const ModelConfig& model, const LockOptions& lock,
                                   const Precision& precision, bool grad_checkpointing,
                                   bool on_gpu) {
  const OneThread one_thread;
  const Count count(model, lock, precision, grad_checkpointing, on_gpu);
  return std::llround(count.Image() + count.Text());
}

std::int64_t EvaluationBytesPerRow(const ModelConfig& model, at::ScalarType parameters) {
  const OneThread one_thread;
  const LockOptions unlocked;
  Precision precision;
  precision.parameters = parameters;
  const Count count(model, unlocked, precision, /*grad_checkpointing=*/false, /*on_gpu=*/false,
                    /*evaluation=*/true);
  return std::llround(std::max(count.Image(), count.Text()));  // one after the other
}

std::int64_t ActivationBytesPerRow(const ClipModel& model, std::optional<at::ScalarType> autocast) {
  const Types types{.autocast = autocast};
  return ImageBytesPerRow(model, types) +
         TextBytesPerRow(model, model.config().text.context_length, types);
}

}  // namespace fastclip
