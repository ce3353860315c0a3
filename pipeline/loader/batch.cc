#include "pipeline/loader/batch.h"

#include <utility>

#include "pipeline/loader/batch_buffer.h"

namespace fastclip {

Batch::Batch(std::shared_ptr<Storage> storage) : storage_(std::move(storage)) {}
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;
Batch::~Batch() = default;

std::int64_t Batch::step() const { return storage_->step; }
std::int64_t Batch::epoch() const { return storage_->epoch; }
int Batch::rows() const { return static_cast<int>(storage_->indices.size()); }
int Batch::captions() const { return static_cast<int>(storage_->pool.size()); }
int Batch::image_size() const { return storage_->image_size; }
int Batch::context_length() const { return storage_->context_length; }
std::span<std::uint8_t> Batch::pixels() const { return storage_->pixels; }
std::span<TokenId> Batch::tokens() const { return storage_->tokens; }
std::span<std::int64_t> Batch::pool() const { return storage_->pool; }
std::span<std::int64_t> Batch::caption_row() const { return storage_->caption_row; }
std::span<std::int64_t> Batch::indices() const { return storage_->indices; }
std::span<std::int64_t> Batch::labels() const { return storage_->labels; }
const SkipCounts& Batch::skips() const { return storage_->skips; }
std::span<const SkippedRecord> Batch::skipped() const { return storage_->skipped; }

}  // namespace fastclip
