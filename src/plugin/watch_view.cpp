#include "plugin/watch_view.h"

#include "api/migration.h"
#include "api/names.h"
#include "cli/units.h"
#include "controller/finalizer.h"
#include "kube/json_path.h"

namespace godwit::plugin {
namespace {

using api::MigrationState;
using cli::Line;
using cli::Lines;
using cli::Look;
using cli::Tone;
using nlohmann::json;

std::string in_words(const json& migration, const api::MigrationStatus& status) {
  const std::string pod = kube::text_at(migration, "/spec/podName");
  const std::string wanted = kube::text_at(migration, "/spec/destination");
  switch (status.state) {
    case MigrationState::pending:
      return fmt::format("Pending: {}{}", pod, wanted.empty() ? "" : " to " + wanted);
    case MigrationState::running:
      return fmt::format("Running: {} from {} to {}", pod, status.source_node, status.destination_node);
    case MigrationState::completed:
      return fmt::format("Completed: {} runs on {}{}", status.clone_name.empty() ? pod : status.clone_name,
                         status.destination_node, status.pause_ms ? ", pause " + cli::format_ms(*status.pause_ms) : "");
    case MigrationState::failed:
      break;
  }
  return fmt::format("Failed ({}): {}", status.reason, status.message);
}

Tone tone_of(MigrationState state) {
  if (state == MigrationState::completed) return Tone::good;
  return state == MigrationState::failed ? Tone::bad : Tone::strong;
}

}  // namespace

Lines WatchView::on_change(const json& before, const json& after, const std::string& now, const Look& look) const {
  const json& shown = after.is_null() ? before : after;
  const std::string name = all_namespaces_ ? kube::key_of(shown) : kube::name_of(shown);
  if (after.is_null()) return line(now, name, "deleted", Tone::faint, look);
  const api::MigrationStatus status = api::read_status(after);
  Lines lines;
  if (before.is_null() || api::read_status(before).state != status.state) {
    lines = line(now, name, in_words(after, status), tone_of(status.state), look);
  }
  if (controller::is_deleted(after) && (before.is_null() || !controller::is_deleted(before)) && !status.over()) {
    for (Line& one : line(now, name, "cancelling: it is being deleted", Tone::warning, look)) {
      lines.push_back(std::move(one));
    }
  }
  return lines;
}

Lines WatchView::on_event(const json& event, const std::string& time, const Look& look) const {
  const std::string api_version = kube::text_at(event, "/regarding/apiVersion");
  if (kube::text_at(event, "/regarding/kind") != api::migrations.kind ||
      !api_version.starts_with(std::string(api::group) + "/")) {
    return {};
  }
  const std::string name = kube::text_at(event, "/regarding/name");
  const bool warning = kube::text_at(event, "/type") == "Warning";
  return line(time, all_namespaces_ ? kube::key_of(kube::text_at(event, "/regarding/namespace"), name) : name,
              fmt::format("{}: {}", kube::text_at(event, "/reason"), kube::text_at(event, "/note")),
              warning ? Tone::warning : Tone::plain, look);
}

Lines WatchView::line(const std::string& time, const std::string& name, const std::string& text, Tone tone,
                      const Look& look) const {
  const std::string head = fmt::format("{}  {}  ", time, name);
  if (!look.live) return {std::move(Line(head, Tone::faint).add(text, tone))};  // one line each, for grep
  const size_t indent = cli::columns_of(time) + 2;
  Lines lines = cli::wrap(head + text, look.width - 1, indent, tone);
  return lines;
}

}  // namespace godwit::plugin
