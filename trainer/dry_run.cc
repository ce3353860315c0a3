#include "trainer/dry_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "trainer/activation_bytes.h"
#include "trainer/objective/robustness.h"
#include "trainer/precision.h"
#include "trainer/ranks.h"
#include "trainer/run_setup.h"
#include "trainer/start_weights.h"
#include "trainer/weights_origin.h"

namespace fastclip {
namespace {

std::string Bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(units); ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, units[unit]);
}

double BytesOf(const NamedTensors& tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), 0.0, [](double sum, const auto& named) {
    return sum + static_cast<double>(named.second.nbytes());
  });
}

double Millions(const NamedTensors& tensors, const std::function<bool(const std::string&)>& of) {
  double count = 0;
  for (const auto& [name, tensor] : tensors) {
    if (of(name)) count += static_cast<double>(tensor.numel());
  }
  return 1e-6 * count;
}

class Lines {
 public:
  template <class... Args>
  void Add(const char* name, fmt::format_string<Args...> text, Args&&... args) {
    text_ += fmt::format("{:<11} {}\n", name, fmt::format(text, std::forward<Args>(args)...));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// "chunks of 4 records, windows of 1024".
std::string DescribeChunks(const OrderOptions& order) {
  const auto records = [](std::int64_t number) {  // 0: a mix, each of whose sources has its own
    return number == 0 ? "by the size of each source" : fmt::format("of {} records", number);
  };
  return fmt::format("chunks {}, windows {}", records(order.chunk), records(order.window));
}

std::int64_t EpochRows(const OrderPlan& plan) {
  std::int64_t rows = 0;
  for (const MixPart& part : plan.options().parts) rows += part.rows;
  return rows;
}

/// What an epoch's last batch means for the records.
std::string DescribeTail(const OrderPlan& plan) {
  const OrderOptions& order = plan.options();
  const std::int64_t rows = plan.steps_per_epoch() * order.batch_size;
  if (order.tail == Tail::kCarry) return "what fills no batch begins the next epoch";
  if (order.resampled) return fmt::format("an epoch is {} rows, drawn with replacement", rows);
  if (!order.parts.empty()) return fmt::format("an epoch is {} rows", rows);
  return order.tail == Tail::kPad
             ? fmt::format("{} rows of an epoch see a record again", rows - order.size)
             : fmt::format("{} records sit out an epoch", order.size - rows);
}

}  // namespace

std::string DryRun(const LoadedConfig& config, int ranks) {
  const auto tokenizer = OpenTokenizer(config->data.tokenizer);
  const ModelConfig model_config = CheckedModel(config, *tokenizer);
  const OpenedSource data = OpenSourceWithInfo(config->data.train, TrainSourceOf(*config));
  const OrderPlan plan = PlanOf(config, *data.source);
  const OrderOptions& order = plan.options();
  const Precision precision = PrecisionOf(config->train.precision);
  ClipModel model(model_config, config->train.seed, config->temperature.init, precision.parameters,
                  config->model.lock);
  const auto objective = MakeObjective(ObjectiveOf(*config));
  const auto optimizer = MakeOptimizer(model.trainable(), config->optimizer);
  model.set_grad_checkpointing(config->train.grad_checkpointing);

  const StartWeights start(config, model_config, VocabularyHash(config->data.tokenizer),
                           config->train.init.empty() ? "" : ResolveModel(config->train.init).file);
  if (start.file())
    CheckWeightsFit(model_config, model.shapes(), start.file()->shapes(), start.file()->path());

  Lines lines;
  const auto image = [](const std::string& name) { return name.starts_with("visual."); };
  lines.Add("model",
            "{}: {:.1f} M parameters, image {:.1f} M and text {:.1f} M; {:.1f} M are trained",
            model_config.name, Millions(model.parameters(), [](auto&) { return true; }),
            Millions(model.parameters(), image),
            Millions(model.parameters(), [&](auto& name) { return !image(name); }),
            Millions(model.trainable(), [](auto&) { return true; }));
  lines.Add("tokenizer", "{}: {} ids, {} of context", config->data.tokenizer,
            tokenizer->vocab_size(), model_config.text.context_length);

  double bytes = 0;
  for (const PartInfo& part : data.parts) {
    bytes += static_cast<double>(part.bytes);
    lines.Add("data", "{}: {} records, {} {} files, {}", part.part, part.records, part.files,
              part.kind, Bytes(static_cast<double>(part.bytes)));
  }
  for (const std::string& line : WarningLines(data.parts)) lines.Add("warning", "{}", line);
  for (const std::string& line :
       LookAtData("data.train", config->data.train, *data.source, TrainSourceOf(*config))) {
    lines.Add("", "{}", line);
  }

  const std::int64_t steps = plan.steps(config->train.epochs);
  lines.Add("steps", "{} epochs of {} = {} steps of {} rows, {} samples; warm-up {} steps",
            config->train.epochs, plan.steps_per_epoch(), steps, order.batch_size,
            steps * order.batch_size, config->learning_rate.warmup);
  const std::vector<std::int64_t> lanes_per_rank = LanesPerRank(config, plan, ranks);
  const double largest = static_cast<double>(*std::ranges::max_element(lanes_per_rank)) /
                         static_cast<double>(order.lanes);
  if (ranks > 1) lines.Add("ranks", "{}: {}", ranks, DescribeRows(lanes_per_rank, plan));
  lines.Add("order", "{} lanes of {} rows; {}; {}", order.lanes, plan.rows_per_lane(),
            DescribeChunks(order), DescribeTail(plan));
  for (std::size_t part = 0; part < order.parts.size(); ++part) {
    const auto [size, rows] = order.parts[part];
    lines.Add("mix", "{}: {} of an epoch's {} rows, each record {:.3g} times{}",
              order.parts.size() == data.parts.size() ? data.parts[part].part : config->data.train,
              rows, EpochRows(plan), static_cast<double>(rows) / static_cast<double>(size),
              order.resampled ? " on average" : "");
  }
  const double record = bytes / static_cast<double>(std::max<std::int64_t>(order.size, 1));
  const auto of_records = [&](std::int64_t records) {
    return Bytes(record * static_cast<double>(records));
  };
  lines.Add("reads", "{} a step and {} an epoch{}", of_records(order.batch_size),
            of_records(plan.steps_per_epoch() * order.batch_size),
            order.chunk == 0 ? ""
                             : fmt::format(", in ranges of {} ({} records)",
                                           of_records(order.chunk), order.chunk));

  lines.Add("objective", "{}, {}; gamma {} from {:.3g} to {:.3g}; tau {:.3g} at the start",
            config->objective.name, config->objective.mode, config->gamma.schedule,
            config->gamma.start, Gamma(config->gamma, config->train.epochs, config->train.epochs),
            start.temperature().tau);
  for (const std::string& note : start.notes()) lines.Add("weights", "{}", note);
  const std::string rho =
      RhoWarning(config->objective, config->gamma, order.batch_size, order.size);
  if (!rho.empty()) lines.Add("warning", "{}", rho);
  std::int64_t rows = 0;
  for (std::int64_t lane = 0; lane < order.lanes; ++lane) rows += plan.lane_size(lane);
  const std::vector<std::string> columns = objective->state_columns();
  const double cell = precision.parameters == at::kDouble ? 8 : 4;
  const double state = cell * static_cast<double>(columns.size()) * static_cast<double>(rows);
  if (columns.empty()) {
    lines.Add("state", "none");
  } else {
    lines.Add("state", "{} a record ({}): {}", Bytes(cell * static_cast<double>(columns.size())),
              fmt::join(columns, ", "), Bytes(state));
  }

  const double weights = BytesOf(model.parameters()) + BytesOf(model.buffers());
  const double gradients = BytesOf(model.trainable());
  const double moments = BytesOf(optimizer->state());
  // Both halves hold the same bytes, and a CPU is quick with one of them only.
  const auto autocast = precision.autocast ? std::optional(at::kBFloat16) : std::nullopt;
  const auto row = static_cast<double>(ActivationBytesPerRow(model, autocast));
  const double held = row * std::ceil(largest * static_cast<double>(order.batch_size) /
                                      static_cast<double>(config->train.micro_batches));
  const double own_state = largest * state;
  lines.Add(
      "memory", "weights {}, gradients {}, optimizer {}, state {}; activations {} a row, {} for {}",
      Bytes(weights), Bytes(gradients), Bytes(moments), Bytes(own_state), Bytes(row), Bytes(held),
      config->train.micro_batches == 1
          ? std::string(ranks == 1 ? "the batch" : "the rank's rows")
          : fmt::format("one of {} micro-batches", config->train.micro_batches));
  lines.Add("", "about {} on {} rank, with {} threads",
            Bytes(weights + gradients + moments + own_state + held), ranks == 1 ? "one" : "a",
            config->train.threads);
  lines.Add("checkpoint", "{}, the last {} are kept: {}", Bytes(weights + moments + state),
            config->checkpoint.keep,
            Bytes((weights + moments + state) * static_cast<double>(config->checkpoint.keep)));
  lines.Add("run folder", "{} (not made)", config->run);
  return lines.text();
}

}  // namespace fastclip
