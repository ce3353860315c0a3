#include "trainer/step/gradient_reducer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <stdexcept>
#include <utility>

namespace fastclip {

namespace autograd = torch::autograd;

struct GradientReducer::Buckets {
  struct Bucket {
    at::Tensor flat;
    std::vector<at::Tensor> views;  // one a parameter
    std::size_t missing = 0;        // parameters whose gradient of this step is not complete
    std::unique_ptr<Pending> sum;
  };
  struct Place {
    std::size_t bucket = 0, view = 0;
    bool complete = false;
  };

  Buckets(const NamedTensors& parameters, Communicator& comm, const ReducerOptions& options);
  ~Buckets() {
    for (const auto& [node, hook] : hooks) node->del_post_hook(hook);
  }

  void Complete(std::size_t parameter);
  void StartFull();

  Communicator& comm;
  bool overlap;
  std::vector<Bucket> buckets;
  std::vector<Place> places;  // one a parameter
  // A shared_ptr in LibTorch 2.11, an intrusive_ptr in 2.15.
  using NodePtr = decltype(autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()));
  // Kept alive: a parameter knows its node only weakly.
  std::vector<std::pair<NodePtr, std::uintptr_t>> hooks;
  std::size_t next = 0;  // the first bucket not started
  bool last = false;     // gradients that come now are the step's last
};

GradientReducer::Buckets::Buckets(const NamedTensors& parameters, Communicator& communicator,
                                  const ReducerOptions& options)
    : comm(communicator), overlap(options.overlap) {
  std::vector<std::vector<at::Tensor>> groups;
  std::int64_t bytes = 0;
  for (const auto& [name, parameter] : parameters) {
    const std::int64_t limit = groups.size() <= 1 ? options.first_bucket : options.other_buckets;
    const auto size = static_cast<std::int64_t>(parameter.nbytes());
    if (groups.empty() || bytes + size > limit ||
        groups.back().front().scalar_type() != parameter.scalar_type()) {
      groups.emplace_back();
      bytes = 0;
    }
    places.push_back({groups.size() - 1, groups.back().size()});
    groups.back().push_back(parameter);
    bytes += size;
  }
  for (const auto& group : groups) {
    std::int64_t elements = 0;
    for (const at::Tensor& parameter : group) elements += parameter.numel();
    Bucket& bucket = buckets.emplace_back();
    bucket.flat = at::zeros({elements}, group.front().options().requires_grad(false));
    std::int64_t first = 0;
    for (const at::Tensor& parameter : group) {
      bucket.views.push_back(
          bucket.flat.narrow(0, first, parameter.numel()).view(parameter.sizes()));
      first += parameter.numel();
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto node = autograd::impl::grad_accumulator(parameters[i].second);
    const std::uintptr_t hook =
        node->add_post_hook(std::make_unique<autograd::utils::LambdaPostHook>(
            [this, i](const autograd::variable_list& outputs, const autograd::variable_list&) {
              Complete(i);
              return outputs;
            }));
    hooks.emplace_back(std::move(node), hook);
  }
}

void GradientReducer::Buckets::Complete(std::size_t parameter) {
  Place& place = places[parameter];
  if (!last || place.complete) return;
  place.complete = true;
  --buckets[place.bucket].missing;
  if (overlap) StartFull();
}

// Never out of order: the ranks' calls must match.
void GradientReducer::Buckets::StartFull() {
  for (; next < buckets.size() && buckets[next].missing == 0; ++next) {
    buckets[next].sum = comm.StartAllReduceSum(buckets[next].flat);
  }
}

GradientReducer::GradientReducer(NamedTensors parameters, Communicator& comm,
                                 const ReducerOptions& options)
    : parameters_(std::move(parameters)), comm_(comm) {
  if (comm.world_size() > 1) buckets_ = std::make_unique<Buckets>(parameters_, comm, options);
}

GradientReducer::~GradientReducer() = default;

std::int64_t GradientReducer::bytes() const {
  std::int64_t bytes = 0;
  if (!buckets_) return bytes;
  for (const auto& bucket : buckets_->buckets) {
    bytes += static_cast<std::int64_t>(bucket.flat.nbytes());
  }
  return bytes;
}

GradientReducer::Pass GradientReducer::Begin() {
  if (!buckets_) {
    for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
    return Pass(*this);
  }
  buckets_->next = 0;
  buckets_->last = false;
  for (auto& bucket : buckets_->buckets) {
    bucket.flat.zero_();
    bucket.missing = bucket.views.size();
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Buckets::Place& place = buckets_->places[i];
    place.complete = false;
    // Backward adds to a gradient that is there, in place.
    parameters_[i].second.mutable_grad() = buckets_->buckets[place.bucket].views[place.view];
  }
  return Pass(*this);
}

void GradientReducer::Pass::BeginLast() {
  last_ = true;
  if (reducer_.buckets_) reducer_.buckets_->last = true;
}

std::int64_t GradientReducer::Pass::Add(const at::Tensor& scalar) {
  scalars_.push_back(scalar.detach().to(at::kDouble).reshape({}));
  return static_cast<std::int64_t>(scalars_.size()) - 1;
}

at::Tensor GradientReducer::Pass::Finish() && {
  if (!last_) throw std::logic_error("Finish() was called before BeginLast()");
  return reducer_.Finish(scalars_);
}

at::Tensor GradientReducer::Finish(const std::vector<at::Tensor>& scalars) {
  if (buckets_) {
    // A parameter that had no part in this step leaves its bucket unfinished on every rank.
    for (auto& bucket : buckets_->buckets) bucket.missing = 0;
    buckets_->StartFull();
  }
  at::Tensor sums = at::stack(scalars);
  comm_.AllReduceSum(sums);
  if (buckets_) {
    for (auto& bucket : buckets_->buckets) {
      bucket.sum->Wait();
      bucket.sum.reset();
    }
    // As on one rank: what had no part in the step has no gradient, and the optimizer leaves it.
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!buckets_->places[i].complete) parameters_[i].second.mutable_grad().reset();
    }
  }
  return sums;
}

}  // namespace fastclip
