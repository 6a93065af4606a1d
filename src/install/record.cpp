#include "install/record.h"

#include <nlohmann/json.hpp>

#include "os/file.h"

namespace godwit::install {
namespace {

using nlohmann::json;

constexpr int format = 1;

}  // namespace

Result<std::optional<Record>> read_record(const std::string& directory) {
  const std::string path = directory + "/" + record_name;
  if (!os::exists(path)) return std::nullopt;
  GODWIT_ASSIGN(const std::string text, os::read_file(path));
  const json object = json::parse(text, nullptr, false);
  try {
    if (object.at("format") != format) {
      return fail("{} was written by version {} of Godwit, which keeps other records: uninstall that version first",
                  path, object.value("version", "(unknown)"));
    }
    return Record{.version = object.at("version"),
                  .config_path = object.at("config"),
                  .inserted = object.at("inserted"),
                  .handler_path = object.at("handler"),
                  .network_path = object.at("network"),
                  .plugin_path = object.at("plugin"),
                  .made = object.at("made").get<std::vector<std::string>>(),
                  .restart_due = object.at("restartDue")};
  } catch (const json::exception&) {
    return fail("{} is damaged: what Godwit has changed on this node is not known", path);
  }
}

Result<> write_record(const std::string& directory, const Record& record) {
  const json object = {{"format", format},
                       {"version", record.version},
                       {"config", record.config_path},
                       {"inserted", record.inserted},
                       {"handler", record.handler_path},
                       {"network", record.network_path},
                       {"plugin", record.plugin_path},
                       {"made", record.made},
                       {"restartDue", record.restart_due}};
  return os::write_file_atomic(directory + "/" + record_name, object.dump(2) + "\n", 0644);
}

}  // namespace godwit::install
