// What Godwit adds to containerd's configuration, as pure functions over its text.
//
// The runtime handler is a file of our own, which the main file imports. The main file itself is not written anew, its
// comments and its order are its owner's: at most one piece of text is put into it, and taken out again.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::install {

inline constexpr const char* handler_name = "live";

// The main file: refuses what is not TOML, and versions other than 2 and 3.
Result<int> config_version(const std::string& text);

// A change of the main file: `inserted` at `offset`.
struct Insertion {
  std::string text;      // the file after it
  std::string inserted;  // empty: nothing need be inserted, the file imports the path already
};
// Makes the file at `config_path` import `path`, too.
Result<Insertion> import_file(const std::string& text, const std::string& config_path, const std::string& path);
// Takes it out, wherever it is by now. Error: it is not there, but `path` is still mentioned.
Result<std::string> without_insertion(const std::string& text, const std::string& inserted, const std::string& path);

// The file that is imported: the handler `live`, run by `runtime`. To be made anew when the main file changes: of
// version 2 it repeats the main file's settings of the same plugin, because containerd 1 takes a plugin's settings from
// one file only, the last that has any.
Result<std::string> handler_file(const std::string& main_text, const std::string& runtime);

// Of `containerd config dump`, that is, with everything imported and every default.
struct Effective {
  std::string cni_configurations;         // directory
  std::vector<std::string> cni_programs;  // directories
  std::string socket;
  std::string handler_program;  // of the handler `live`; empty: there is none
};
Result<Effective> read_effective(const std::string& dump);

}  // namespace godwit::install
