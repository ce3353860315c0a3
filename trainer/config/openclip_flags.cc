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
    {"val_num_samples", "all records of data.val are evaluated; list fewer shards there"},
    {"dataset_type", "the type of data.train is detected: tar shards, a table or synthetic:N"},
    {"imagenet_v2",
     "its folders are named by numbers, which do not sort in class order; pack it into shards with "
     ".cls labels for eval.zeroshot"},
    {"aug_cfg",
     "pipeline.scale_min, .scale_max, .ratio_min and .ratio_max set the random crops; other "
     "augmentations are not supported"},
    {"cache_dir", "nothing is downloaded; model.pretrained is a file path"},
    {"log_local", "only rank 0 writes the log"},
    {"pretrained_image",
     "image-tower-only weights are not supported; model.pretrained needs a file with both towers"},
    {"image_mean image_std image_interpolation image_resize_mode",
     "images are always preprocessed like OpenAI's CLIP: bicubic, its mean and std"},
    {"force_context_length force_image_size force_custom_text",
     "copy the preset in configs/models, edit the copy, and set model.name=FILE.toml"},
    {"force_quick_gelu", "use a preset with it: model.name=ViT-B-32-quickgelu and so on"},
    {"local_loss gather_with_grad loss_dist_impl",
     "gradients are exact for any number of ranks; no option is needed"},
    {"torchscript torchcompile trace", "the model is C++; nothing is compiled when a run starts"},
    {"dist_url dist_backend horovod ddp_static_graph no_set_device_rank",
     "ranks come from --ranks N, torchrun, srun or mpirun, with NCCL on GPUs and Gloo on CPUs"},
    {"report_to wandb wandb_notes wandb_project_name",
     "the run folder always has metrics.jsonl and TensorBoard files; upload them with wandb sync "
     "RUN/tensorboard"},
    {"debug", "there is no debug output; RUN/console.log has what was printed"},
    {"copy_codebase", "RUN/starts.jsonl records the version, RUN/config.toml the config"},
    {"coca_caption_loss_weight coca_contrastive_loss_weight", "CoCa is not supported"},
    {"distill_model distill_pretrained", "distillation is not supported"},
    {"use_bnb_linear", "8-bit layers are not supported; see train.precision"},
    {"remote_sync remote_sync_frequency remote_sync_protocol",
     "copy the run folder with a tool like rsync; a checkpoint gets its name only when it is "
     "complete"},
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
