#include "trainer/objective/robust_contrastive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "trainer/objective/estimator.h"
#include "trainer/objective/pair_passes.h"

namespace fastclip {
namespace {

constexpr double kLargestTauGradient = 5;

}  // namespace

// Of this rank's anchors, [2, b] each.
struct RobustContrastive::Temperatures {
  at::Tensor tau;
  at::Tensor m, v;  // first and second moment of τ's gradient
};

RobustContrastive::RobustContrastive(const ObjectiveOptions& options)
    : options_(options), reference_(options.mode == "reference") {}

std::vector<std::string> RobustContrastive::state_columns() const {
  std::vector<std::string> columns;
  for (const char* name : {"log_u", "tau", "m", "v", "bound"}) {
    if (name == std::string("bound") && !reference_) continue;
    for (const char* side : {"_image", "_text"}) columns.push_back(std::string(name) + side);
  }
  return columns;
}

std::vector<double> RobustContrastive::initial_state() const {
  const double tau = options_.tau_init;
  std::vector<double> initial = {kUnseenLogU, kUnseenLogU, tau, tau, 0, 0, 0, 0};
  if (reference_) initial.resize(10, 0);
  return initial;
}

RobustContrastive::Temperatures RobustContrastive::Moved(const Temperatures& old,
                                                         const at::Tensor& gradient,
                                                         const at::Tensor& seen,
                                                         const StepScalars& scalars) const {
  const double beta1 = options_.tau_beta1, beta2 = options_.tau_beta2;
  const auto moved = [](const at::Tensor& average, const at::Tensor& value, const auto& beta) {
    return average * beta + value * (1 - beta);
  };
  const at::Tensor square = gradient.square();
  Temperatures next;
  at::Tensor first, second;  // the moments as the step takes them
  if (reference_ && scalars.on_device) {
    const at::Tensor& epoch = scalars.on_device->epoch;
    const at::Tensor later = epoch.gt(0).to(at::kDouble);  // 0 in the first epoch
    next.m = moved(old.m, gradient, later * beta1);
    next.v = moved(old.v, square, later * beta2);
    first = next.m / (1 - later * at::pow(beta1, epoch + 1));
    second = next.v / (1 - later * at::pow(beta2, epoch + 1));
  } else if (reference_) {
    const bool start = scalars.epoch == 0;
    next.m = moved(old.m, gradient, start ? 0 : beta1);
    next.v = moved(old.v, square, start ? 0 : beta2);
    const auto visits = static_cast<double>(scalars.epoch + 1);
    first = start ? next.m : next.m / (1 - std::pow(beta1, visits));
    second = start ? next.v : next.v / (1 - std::pow(beta2, visits));
  } else {
    next.m = first = at::where(seen, moved(old.m, gradient, beta1), gradient);
    next.v = second = at::where(seen, moved(old.v, square, beta2), square);
  }
  at::Tensor step = first.div(second.sqrt() + options_.tau_eps);
  scalars.on_device ? step.mul_(scalars.on_device->lr_tau) : step.mul_(scalars.lr_tau);
  next.tau = (old.tau - step).clamp_(kSmallestTau, kLargestTau);
  return next;
}

ObjectiveResult RobustContrastive::Evaluate(const Features& features, const at::Tensor& state,
                                            const StepScalars& scalars, Communicator& comm) const {
  const c10::NoGradGuard no_grad;
  CheckHasNegatives(features);
  const at::Tensor& image = features.local.image;
  const auto rows = static_cast<double>(features.global.image.size(0));
  const at::Tensor columns = state.to(image.options()).t();  // [columns, b]
  const auto pair = [&](std::int64_t first) { return columns.narrow(0, first, 2); };
  const at::Tensor old_log_u = pair(0);
  const Temperatures old{.tau = pair(2), .m = pair(4), .v = pair(6)};

  // Everything below is computed with τ before its step, on all ranks.
  PairPasses passes(features, old.tau.reciprocal(), options_.tile);
  const double log_negatives = std::log(rows - 1);
  const at::Tensor log_g = passes.LogSumExp() - log_negatives;
  const at::Tensor seen = Seen(old_log_u);
  const at::Tensor log_u = MovedLogU(old_log_u, seen, log_g, scalars);  // [2, b]

  at::Tensor log_epsilon = at::full({}, std::log(options_.epsilon), log_u.options());
  at::Tensor bound;
  if (reference_) {  // its u is u·e^−β, and ε is added there; d_ii = 0 counts
    bound = at::maximum(pair(8), passes.largest().clamp_min(0));
    log_epsilon = log_epsilon + bound;
  }
  const at::Tensor log_u_epsilon = at::logaddexp(log_u, log_epsilon);

  // W_ij = exp(d_ij)/((N−1)(u_i + ε)); the anchor's weight, τ_i·(1/τ_i) or 1/τ_i, joins in.
  at::Tensor log_denominator = log_u_epsilon + log_negatives;
  if (reference_) log_denominator = log_denominator + old.tau.log();
  const at::Tensor all = comm.AllGather(at::cat({log_denominator, old.tau}).t().contiguous(),
                                        features.rows_per_rank)
                             .t()
                             .contiguous();  // [4, B]
  ObjectiveResult result;
  at::Tensor weighted;  // Σ_j W_ij·d_ij
  result.features =
      passes.Gradients(all.narrow(0, 0, 2), all.narrow(0, 2, 2).reciprocal(), &weighted);
  if (reference_) weighted.mul_(old.tau);

  // dL/dτ_i = ρ + ln(u_i + ε) − Σ_j W_ij·d_ij, of the anchor's own term.
  const at::Tensor gradient =
      (log_u_epsilon - weighted + options_.rho).clamp_(-kLargestTauGradient, kLargestTauGradient);
  const Temperatures next = Moved(old, gradient, seen, scalars);

  std::vector<at::Tensor> written = {log_u, next.tau, next.m, next.v};
  if (reference_) written.push_back(bound);
  result.state = at::cat(written).t().to(state.options()).contiguous();

  result.report.loss = (old.tau * log_u_epsilon).sum().div_(2 * rows);
  passes.Report(result.report);
  result.report.log_u_mean = log_u.sum().div_(2 * rows);
  result.report.tau_mean = old.tau.sum().div_(2 * rows);
  result.report.first_visits = seen.logical_not().sum();
  return result;
}

}  // namespace fastclip
