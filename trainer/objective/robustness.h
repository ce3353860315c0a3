#pragma once

#include <cstdint>
#include <string>

#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/gamma_schedule.h"

namespace fastclip {

/// A warning for the user if ρ is too large for the temperature to converge, else "".
///
/// In v3 "exact", v2 and iSogCLR the temperature converges where KL(weights of the negatives ‖
/// uniform) is ρ: over the batch and both sides in v3, per anchor in the others. With γ = 1 the
/// weights are a softmax over the B − 1 negatives of a batch, so the KL is at most ln(B − 1); a
/// larger ρ makes τ fall towards its minimum, as long as u is above ε (below it the weights
/// vanish). With γ below 1, u is an average over several batches, and averaged over steps the
/// weights are those over all n − 1 other records: at most ln(n − 1). (v3 "reference" counts its
/// contrastive part twice and converges at KL + E[d] = ρ, which has no such bound.)
std::string RhoWarning(const ObjectiveOptions& objective, const GammaOptions& gamma,
                       std::int64_t batch_size, std::int64_t records);

}  // namespace fastclip
