// Fused attention of the stand-in device: one op forward and one backward, as on a GPU, by the
// CPU's kernel. Without it ATen would compose attention of some 14 ops.

#include <ATen/ATen.h>
#include <ATen/native/transformers/attention.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include "tests/support/stand_in_ops.h"

namespace fastclip::stand_in {
namespace {

std::int64_t Choose(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const std::optional<at::Tensor>& mask, double dropout, bool /*causal*/,
                    std::optional<double> /*scale*/, bool /*gqa*/) {
  const bool is_fused = at::globalContext().userEnabledFlashSDP() && query.dim() == 4 &&
                        query.size(1) == key.size(1) && query.size(3) == value.size(3) &&
                        !(mask && mask->requires_grad()) && dropout == 0;
  return static_cast<std::int64_t>(is_fused ? at::SDPBackend::overrideable : at::SDPBackend::math);
}

using Attended = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt,
                            c10::SymInt, at::Tensor, at::Tensor, at::Tensor>;

Attended Attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                const std::optional<at::Tensor>& bias, double dropout, bool causal,
                bool /*return_debug_mask*/, std::optional<double> scale) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(
      "aten::_scaled_dot_product_flash_attention_for_cpu", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, query, key, value, dropout, causal, bias, scale);
  RunOnHost(op, &stack);
  return {stack[0].toTensor(),
          stack[1].toTensor(),
          {},
          {},
          query.sym_size(2),
          key.sym_size(2),
          {},
          {},
          {}};
}

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Gradients AttendBackward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                         const at::Tensor& value, const at::Tensor& bias,
                         std::array<bool, 4> /*wanted*/, const at::Tensor& out,
                         const at::Tensor& logsumexp, const at::Tensor&, const at::Tensor&,
                         c10::SymInt, c10::SymInt, double dropout, bool causal, const at::Tensor&,
                         const at::Tensor&, std::optional<double> scale) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(
      "aten::_scaled_dot_product_flash_attention_for_cpu_backward", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, gradient, query, key, value, out, logsumexp, dropout, causal,
                   bias.defined() ? std::optional(bias) : std::nullopt, scale);
  RunOnHost(op, &stack);
  return {stack[0].toTensor(), stack[1].toTensor(), stack[2].toTensor(), {}};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_scaled_dot_product_fused_attention_overrideable", &Attend);
  m.impl("_scaled_dot_product_fused_attention_overrideable_backward", &AttendBackward);
}

}  // namespace fastclip::stand_in

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &fastclip::stand_in::Choose)
}  // namespace at::native
