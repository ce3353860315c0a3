#pragma once

#include "trainer/adapt/learned_keys.h"

namespace fastclip {

/// How a block's attention takes in learned keys: in front of its own under one softmax, or as
/// (1 − λ)·Attn(q, K, V) + λ·Attn(q, K_learned, V_learned), λ = σ(LSE of the learned scores − LSE
/// of its own). Both are the same function (https://arxiv.org/abs/2110.04366).
enum class KeysMix : std::uint8_t { kConcatenated, kGated };

/// Fails if another tuner stands in the place of the block's attention.
void AttachLearnedAttention(const TunerPlace& at, LearnedKeys keys, KeysMix mix);

}  // namespace fastclip
