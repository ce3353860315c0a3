#include "trainer/model/sync_batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <stdexcept>
#include <vector>

namespace fastclip {
namespace {

namespace autograd = torch::autograd;

struct CommHolder : torch::CustomClassHolder {
  explicit CommHolder(Communicator& c) : comm(c) {}
  Communicator& comm;
};

at::Tensor ByChannel(const at::Tensor& values) { return values.view({1, -1, 1, 1}); }

constexpr std::int64_t kPlaces[] = {0, 2, 3};  // all but the channels

at::Tensor SumOverPlaces(const at::Tensor& x) { return x.sum(kPlaces, false, at::kDouble); }

class SyncedFunction : public autograd::Function<SyncedFunction> {
 public:
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& mean, const at::Tensor& inverse_deviation,
                            const at::Tensor& count, c10::intrusive_ptr<CommHolder> comm) {
    context->save_for_backward({x, weight, mean, inverse_deviation, count});
    context->saved_data["comm"] = c10::IValue::make_capsule(std::move(comm));
    const at::Tensor slope = inverse_deviation * weight;
    return at::addcmul(ByChannel((bias - mean * slope).to(weight.dtype())), x,
                       ByChannel(slope.to(weight.dtype())))
        .to(x.dtype());
  }

  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor normalised =
        (x - ByChannel(saved[2]).to(weight.dtype())) * ByChannel(saved[3]).to(weight.dtype());
    const at::Tensor dy = gradients[0].to(weight.dtype());
    at::Tensor sums = at::stack({SumOverPlaces(dy), SumOverPlaces(dy * normalised)});
    const at::Tensor mine = sums.to(weight.dtype(), /*non_blocking=*/false, /*copy=*/true);
    auto comm =
        c10::static_intrusive_pointer_cast<CommHolder>(context->saved_data["comm"].toCapsule());
    comm->comm.AllReduceSum(sums);
    const at::Tensor means = (sums / saved[4]).to(weight.dtype());
    const at::Tensor dx = (dy - ByChannel(means[0]) - normalised * ByChannel(means[1])) *
                          ByChannel(saved[3].to(weight.dtype()) * weight);
    return {dx.to(x.dtype()), mine[1], mine[0], {}, {}, {}, {}};
  }
};

}  // namespace

SyncedNorm SyncBatchNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon, Communicator& comm) {
  const std::int64_t channels = x.size(1);
  at::Tensor count, mean, moment;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor values = x.to(weight.dtype());
    const auto local = static_cast<double>(x.numel() / channels);
    const auto [variance, local_mean] =
        at::var_mean(values, kPlaces, /*correction=*/0, /*keepdim=*/false);
    const std::vector<at::Tensor> numbers = {
        local_mean.to(at::kDouble), variance.to(at::kDouble),
        at::full({1}, local, x.options().dtype(at::kDouble).requires_grad(false))};
    const at::Tensor row = at::cat(numbers);
    const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.world_size()), 1);
    const at::Tensor all = comm.AllGather(row.unsqueeze(0), one_each);  // [K, 2·channels + 1]
    const at::Tensor counts = all.select(1, 2 * channels).unsqueeze(1);
    const at::Tensor means = all.narrow(1, 0, channels);
    count = counts.sum();
    mean = (means * counts).sum(0) / count;
    moment = ((all.narrow(1, channels, channels) + (means - mean).square()) * counts).sum(0);
  }
  // Read back only where it may be so: a GPU would wait here in each layer.
  if (x.numel() / channels < 2) {
    comm.CallsSoFar()->Wait();
    if (count.item<double>() < 2) {
      throw std::invalid_argument(
          "batch norm: only one value per channel over all ranks; use more rows per micro-batch, "
          "or larger images");
    }
  }
  const at::Tensor inverse_deviation = (moment / count + epsilon).rsqrt();
  return {.y = SyncedFunction::apply(x, weight, bias, mean, inverse_deviation, count,
                                     c10::make_intrusive<CommHolder>(comm)),
          .mean = mean,
          .variance = moment / (count - 1)};
}

}  // namespace fastclip
