#include "trainer/state/saved_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "pipeline/base/lru_cache.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

// Files of other ranks that stay open while single rows are read.
constexpr std::size_t kMostOpen = 64;
// Rows that are converted at once.
constexpr std::int64_t kBlock = 1 << 16;

}  // namespace

struct SavedTable::Part {
  explicit Part(const std::string& file);
  std::int64_t RowOf(const LanePlace& place) const;

  std::string path;
  SafetensorsReader reader;  // of one tensor, [rows, columns]
  std::vector<std::string> columns;
  LaneRange lanes;
  std::vector<std::int64_t> lane_start;  // of each lane, and the number of rows
};

struct SavedTable::OpenParts {
  LruCache<std::size_t, Part> parts{kMostOpen};
};

SavedTable::Part::Part(const std::string& file) : path(file), reader(file) {
  std::vector<std::int64_t> lane_sizes;
  try {
    const auto& header = reader.metadata();
    nlohmann::json::parse(header.at("columns")).get_to(columns);
    nlohmann::json::parse(header.at("lane_sizes")).get_to(lane_sizes);
    lanes = {std::stoll(header.at("lanes_first")), std::stoll(header.at("lanes_last"))};
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{}: its header does not describe a sample table ({})", path, error.what()));
  }
  lane_start.push_back(0);
  for (const std::int64_t size : lane_sizes) lane_start.push_back(lane_start.back() + size);
  const std::vector<std::int64_t> shape = {lane_start.back(), std::ssize(columns)};
  if (reader.entries().size() != 1 || reader.entries()[0].shape != shape ||
      std::ranges::any_of(lane_sizes, [](std::int64_t size) { return size < 0; }) ||
      lanes.last - lanes.first != std::ssize(lane_sizes)) {
    throw std::runtime_error(fmt::format("{}: the table's shape does not match its header", path));
  }
}

std::int64_t SavedTable::Part::RowOf(const LanePlace& place) const {
  const auto start = lane_start.begin() + (place.lane - lanes.first);
  if (place.slot < 0 || place.slot >= start[1] - start[0]) {
    throw std::runtime_error(fmt::format("{}: lane {} has {} rows, but slot {} was requested", path,
                                         place.lane, start[1] - start[0], place.slot));
  }
  return *start + place.slot;
}

SavedTable::SavedTable(std::vector<std::string> files)
    : files_(std::move(files)), open_(std::make_unique<OpenParts>()) {
  const auto first = Open(0);
  columns_ = first->columns;
  type_ = first->reader.entries()[0].type;
}

SavedTable::~SavedTable() = default;
SavedTable::SavedTable(SavedTable&&) noexcept = default;
SavedTable& SavedTable::operator=(SavedTable&&) noexcept = default;

std::shared_ptr<const SavedTable::Part> SavedTable::Open(std::size_t file) const {
  if (auto part = open_->parts.Find(file)) return part;
  auto part = open_->parts.Put(file, Part(files_[file]));
  if (!columns_.empty() && part->columns != columns_) {
    throw std::runtime_error(
        fmt::format("{}: its columns differ from those of {}", part->path, files_[0]));
  }
  return part;
}

std::shared_ptr<const SavedTable::Part> SavedTable::PartWith(std::int64_t lane) const {
  std::size_t first = 0, last = files_.size();  // the lane's file, if there is one
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    auto part = Open(middle);
    if (lane >= part->lanes.first && lane < part->lanes.last) return part;
    if (lane < part->lanes.first) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  throw std::runtime_error(fmt::format(
      "{}: no state file holds lane {}; it may have been saved with another objective or "
      "data.lanes",
      std::filesystem::path(files_[0]).parent_path().string(), lane));
}

void SavedTable::ReadRows(const Part& part, std::int64_t first, const at::Tensor& to) const {
  const at::ScalarType type = part.reader.entries()[0].type;
  const std::int64_t rows = to.size(0);
  if (type == to.scalar_type())
    return part.reader.ReadRows(part.reader.entries()[0], first, rows, to.mutable_data_ptr());
  for (std::int64_t done = 0; done < rows; done += kBlock) {
    const std::int64_t some = std::min(kBlock, rows - done);
    const at::Tensor read = at::empty({some, to.size(1)}, type);
    part.reader.ReadRows(part.reader.entries()[0], first + done, some, read.mutable_data_ptr());
    to.narrow(0, done, some).copy_(read);
  }
}

void SavedTable::Read(LaneRange lanes, const at::Tensor& to) const {
  if (to.dim() != 2 || to.size(1) != std::ssize(columns_)) {
    throw std::runtime_error(fmt::format("{}: has {} columns per record, but {} are needed",
                                         files_[0], columns_.size(),
                                         to.dim() < 2 ? 0 : to.size(1)));
  }
  std::int64_t row = 0;
  for (std::int64_t next = lanes.first; next < lanes.last;) {
    const auto part = PartWith(next);
    const std::int64_t last = std::min(lanes.last, part->lanes.last);
    const auto start = part->lane_start.begin() + (next - part->lanes.first);
    const std::int64_t rows = start[last - next] - *start;
    if (row + rows <= to.size(0)) ReadRows(*part, *start, to.narrow(0, row, rows));
    row += rows;
    next = last;
  }
  if (row != to.size(0)) {
    throw std::runtime_error(fmt::format(
        "{}: lanes {} to {} have {} rows, but {} are needed; it may have been saved with other "
        "data",
        std::filesystem::path(files_[0]).parent_path().string(), lanes.first, lanes.last - 1, row,
        to.size(0)));
  }
}

at::Tensor SavedTable::Read(std::span<const LanePlace> places) const {
  std::vector<std::int64_t> order(places.size());  // as the files have them
  std::iota(order.begin(), order.end(), 0);
  const auto place = [&](std::int64_t i) { return places[static_cast<std::size_t>(i)]; };
  std::ranges::sort(order, {},
                    [&](std::int64_t i) { return std::pair(place(i).lane, place(i).slot); });
  at::Tensor read = at::empty({std::ssize(places), std::ssize(columns_)}, type_);
  for (auto next = order.begin(); next != order.end();) {
    const auto part = PartWith(place(*next).lane);
    const auto begin = next;
    std::vector<std::int64_t> rows;
    for (; next != order.end() && place(*next).lane < part->lanes.last; ++next) {
      rows.push_back(part->RowOf(place(*next)));
    }
    const at::Tensor to = at::tensor(at::ArrayRef(&*begin, rows.size()), at::kLong);
    read.index_copy_(0, to, part->reader.ReadRows(part->reader.entries()[0], rows).to(type_));
  }
  return read;
}

void CarryOver(const SavedTable& saved, const OrderPlan& before, SampleTable& table) {
  table.ForEachRecord([&](std::span<const std::int64_t> indices) {
    std::vector<LanePlace> places;
    for (const std::int64_t index : indices) {
      places.push_back(before.PlaceOf(SampleIndex{index}));
    }
    table.Write(indices, saved.Read(places));
  });
}

}  // namespace fastclip
