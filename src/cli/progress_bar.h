#pragma once

#include "cli/options.h"
#include "espalier/base/progress.h"

namespace espalier::cli {

/// A progress bar with the time left, for jobs of over two seconds, on a terminal only; an empty
/// function if there is no terminal or nobody wants to see it.
Progress MakeProgressBar(const CommonOptions& common, const Streams& streams);

/// Removes the bar from the terminal.
void ClearProgressBar(const Progress& progress, const Streams& streams);

}  // namespace espalier::cli
