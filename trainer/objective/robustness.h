#pragma once

#include <cstdint>
#include <string>

#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/gamma_schedule.h"

namespace fastclip {

/// A line for the user where ρ is more than the temperature can follow, else "".
///
/// In v3 "exact", v2 and iSogCLR the temperature rests where KL(weights of the negatives ‖ uniform)
/// is ρ: over the batch and both sides in v3, for each anchor in the others. With γ = 1 the weights
/// are a softmax over the B − 1 negatives of a batch, so the KL is at most ln(B − 1); a larger ρ
/// makes τ fall towards its least value, as long as u is above ε (below it the weights fade). With
/// γ below 1, u is an average over several batches, and in the mean over steps the weights are
/// those over all n − 1 other records: at most ln(n − 1). (v3 "reference" counts its contrastive
/// part twice and rests at KL + E[d] = ρ, which no such number bounds.)
std::string RhoWarning(const ObjectiveOptions& objective, const GammaOptions& gamma,
                       std::int64_t batch_size, std::int64_t records);

}  // namespace fastclip
