#pragma once

namespace fastclip {

/// `fastclip bench objective`: the objective alone, against the matrix products that it consists of.
int RunBenchObjective(int argc, const char* const* argv);

}  // namespace fastclip
