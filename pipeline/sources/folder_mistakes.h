#pragma once

#include <string>

#include "pipeline/records/record_source.h"

namespace fastclip {

// What people name as a folder of classes, and is none. Errors are std::runtime_error and say what
// to do.

/// For a folder in which no class was found: says why, and what was meant.
[[noreturn]] void ThrowNoClasses(const std::string& folder);

/// Refuses Hugging Face's layout: one folder per split, each with its table of captions. `name`: a
/// subfolder of `folder`.
void RefuseFolderOfTables(const std::string& folder, const std::string& name);

/// Refuses options that a folder of classes does not have: label and caption keys, checksums.
void RefuseClassFolderOptions(const std::string& folder, const SourceOptions& options);

/// Of a folder of classes: the first table in it, or else its shards ("*.tar"), which may be meant;
/// empty if there are none.
std::string FilesMeant(const std::string& folder);

}  // namespace fastclip
