// Compares two trees byte for byte with their metadata, as a copy by FileSource must leave them equal. For tests and
// for `verify` options; reads everything, so never inside a freeze.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "files/root.h"

namespace godwit::files {

// One line for each difference ("a/b: mode 0644 and 0600"), at most `limit` of them; empty: equal. Compared: names,
// types, content, size, owner, mode, mtime, xattrs that are carried, device numbers, link targets, which names are hard
// links of each other. Mount points below a root are compared by type only.
Result<std::vector<std::string>> compare_trees(const std::string& left, const std::string& right, RootKind kind,
                                               size_t limit = 20);

}  // namespace godwit::files
