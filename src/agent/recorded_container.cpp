#include "agent/recorded_container.h"

namespace godwit::agent {

using nlohmann::json;

json to_json(const std::vector<RecordedContainer>& containers) {
  json all = json::array();
  for (const RecordedContainer& container : containers) {
    all.push_back(
        {{"name", container.name}, {"init_pid", container.init_pid}, {"freezer", container.freezer_directory}});
  }
  return all;
}

std::vector<RecordedContainer> recorded_containers_from_json(const json& source) {
  std::vector<RecordedContainer> containers;
  for (const json& container : source) {
    containers.push_back({.name = container.at("name").get<std::string>(),
                          .init_pid = container.at("init_pid").get<pid_t>(),
                          .freezer_directory = container.at("freezer").get<std::string>()});
  }
  return containers;
}

}  // namespace godwit::agent
