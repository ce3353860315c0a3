#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <string>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/support/error_of.h"
#include "tests/support/paths.h"

namespace fastclip {

/// Tables in a folder with a few images, `img/NAME`, whose bytes are their names.
class TableFixture : public testing::Test {
 protected:
  explicit TableFixture(std::initializer_list<std::string> images) {
    std::filesystem::create_directory(folder_ / "img");
    for (const std::string& name : images) WriteFile(folder_ / ("img/" + name), name);
  }
  std::string Write(const std::string& name, const std::string& text) const {
    WriteFile(folder_ / name, text);
    return folder_ / name;
  }
  /// "path|image|captions|label|skip" of each row.
  Lines Rows(const std::string& name, const std::string& text,
             const SourceOptions& options = {}) const {
    return Summary(ReadAll(*OpenSource(Write(name, text), options)), '/');
  }
  std::string Error(const std::string& name, const std::string& text,
                    const SourceOptions& options = {}) const {
    const std::string path = Write(name, text);
    return ErrorOf([&] { OpenSource(path, options); });
  }

  TemporaryFolder folder_;
};

}  // namespace fastclip
