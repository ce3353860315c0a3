#include "trainer/config/openclip_flags.h"

#include <algorithm>
#include <array>
#include <ranges>

namespace fastclip {
namespace {

struct Flags {
  std::string_view names;  // spaces between them
  std::string_view why;
};

constexpr auto kFlags = std::to_array<Flags>({
    {"val_num_samples", "all records of data.val are evaluated; name fewer shards there"},
    {"dataset_type", "what data.train names shows its kind: tar shards, a table, synthetic:N"},
    {"imagenet_v2",
     "its folders are named by numbers, which are not sorted as their classes are; pack it with "
     ".cls labels for eval.zeroshot"},
    {"cache_dir", "nothing is downloaded; model.pretrained is a file"},
    {"log_local", "rank 0 writes the one log of a run"},
    {"pretrained_image",
     "weights of the image tower alone are not read; model.pretrained names a file of both towers"},
    {"image_mean image_std image_interpolation image_resize_mode",
     "pictures are prepared as for OpenAI's CLIP: bicubic, its mean and deviation"},
    {"force_context_length force_image_size force_custom_text",
     "copy the preset in configs/models, change it there, and give model.name=FILE.toml"},
    {"force_quick_gelu", "it is a model of its own: model.name=ViT-B-32-quickgelu and so on"},
    {"local_loss gather_with_grad loss_dist_impl",
     "gradients are exact for any number of ranks, and there is nothing to choose"},
    {"torchscript torchcompile trace", "the towers are C++, and nothing is compiled at a start"},
    {"dist_url dist_backend horovod ddp_static_graph no_set_device_rank",
     "ranks come from --ranks N, torchrun, srun or mpirun, with NCCL on GPUs and Gloo on CPUs"},
    {"report_to wandb_notes wandb_project_name",
     "a run folder has metrics.jsonl and TensorBoard's files, always"},
    {"debug copy_codebase", "it is not offered; RUN/config.toml keeps what a run was"},
    {"coca_caption_loss_weight coca_contrastive_loss_weight", "CoCa is not trained here"},
    {"distill_model distill_pretrained", "distillation is not offered"},
    {"use_bnb_linear", "8-bit layers are not offered; train.precision has what is"},
    {"remote_sync remote_sync_frequency remote_sync_protocol",
     "copy the run folder with rsync or such; a checkpoint appears under its name when it is "
     "whole"},
});

bool Holds(std::string_view names, std::string_view name) {
  return std::ranges::any_of(std::views::split(names, ' '), [&](auto candidate) {
    return std::string_view(candidate.begin(), candidate.end()) == name;
  });
}

}  // namespace

std::string_view WithoutCounterpart(std::string_view name) {
  const auto found =
      std::ranges::find_if(kFlags, [&](const Flags& flags) { return Holds(flags.names, name); });
  return found == kFlags.end() ? std::string_view() : found->why;
}

}  // namespace fastclip
