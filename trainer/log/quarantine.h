#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/records/known_bad.h"
#include "pipeline/records/record_source.h"
#include "trainer/base/file_io.h"

namespace fastclip {

/// RUN/quarantine.jsonl: the records that a run found bad, each once, with the fields of `fastclip
/// shards lint --out`: {"file": name, "offset": byte of its first header or row, "index":
/// SampleIndex, "key": name in the file, "cause": name}. Nothing depends on the file: a resumed run
/// reads these records again, as data and caps may have been repaired, and does not list them
/// again.
class Quarantine {
 public:
  /// Every rank makes one. Reads what earlier starts of the run wrote, where `keep`; else rank 0
  /// empties the file. A last line that a crash cut is left out. Throws std::runtime_error naming
  /// file and line for anything else that is no such line, or an index of other data.
  Quarantine(const std::string& run_folder, bool keep, const RecordSource& source,
             Communicator& comm);

  /// For the loader: what this start has met.
  KnownBad& known() { return known_; }
  /// For the loader: the records that it gave up on, missing ones too.
  KnownBad& given_up() { return given_up_; }
  /// What a batch of this rank skipped.
  void Note(std::span<const SkippedRecord> skipped);
  /// What the loader of this rank knows, of batches that came and of those that did not.
  void NoteKnown() {
    Note(known_.All());
    Note(given_up_.All());
  }
  /// Every rank's notes since the last call, into the file; rank 0 syncs it. Every rank calls it.
  /// Throws on all where the file cannot be written; the next call tries again.
  void Write(Communicator& comm);
  /// "a.tar: 15 bad records (12 undecodable, 3 missing)", the worst files first, at most `most`;
  /// then how many more there are. For rank 0, of what Write() was given.
  std::vector<std::string> WorstShards(std::size_t most) const;
  /// How many records the file names, by cause. For rank 0, of what Write() was given.
  SkipCounts Records() const;
  const std::string& path() const { return path_; }

 private:
  void Read();
  void Count(const std::string& shard, Skip cause);
  std::string LineOf(const SkippedRecord& record) const;

  std::string path_;
  const RecordSource& source_;
  KnownBad known_;
  KnownBad given_up_;
  std::unordered_set<std::int64_t> noted_;  // of this rank, and all in the file at the start
  std::vector<SkippedRecord> pending_;
  std::string owed_;  // lines of all ranks that could not be written so far, on rank 0
  std::map<std::string, SkipCounts> shards_;
  std::optional<AppendFile> file_;  // on rank 0
};

}  // namespace fastclip
