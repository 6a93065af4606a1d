// godwit-lab: nodes on this machine, by hand. Also the helper programs that a lab itself consists of.
#include <unistd.h>

#include <string>
#include <vector>

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "lab/container.h"
#include "lab/enter.h"
#include "lab/interrupt.h"
#include "lab/janitor.h"
#include "lab/lab.h"
#include "lab/layout.h"
#include "lab/revive.h"

namespace {

using godwit::Result;
using godwit::lab::ContainerSpec;
using godwit::lab::Lab;
using godwit::lab::LabOptions;
using godwit::lab::Node;

int print_error(const godwit::Error& error) {
  fmt::print(stderr, "godwit-lab: {}\n", error.message);
  return 1;
}

int up(const LabOptions& options, bool foreground) {
  auto lab = Lab::start(options);
  if (!lab) return print_error(lab.error());
  fmt::print(
      "lab \"{0}\" is up: {1} nodes, node-1 to node-{1}\n"
      "  godwit-lab exec --name {0} node-1 -- COMMAND     run something on a node\n"
      "  godwit-lab exec --name {0} outside -- COMMAND    run a client on the nodes' network\n"
      "  godwit-lab down --name {0}                       end it\n",
      lab->name(), lab->node_count());
  std::fflush(stdout);
  if (foreground) godwit::lab::wait_for_interrupt();
  const auto done = foreground ? lab->stop() : lab->detach();
  return done ? 0 : print_error(done.error());
}

int down(const std::string& name) {
  auto lab = Lab::attach(name);
  if (!lab) return print_error(lab.error());
  const auto stopped = lab->stop();
  return stopped ? 0 : print_error(stopped.error());
}

int list() {
  godwit::lab::sweep_dead_labs();
  for (const std::string& name : godwit::lab::living_labs()) {
    auto lab = Lab::attach(name);
    if (lab) fmt::print("{:20} {} nodes, image {}\n", name, lab->node_count(), lab->state().plan.image);
  }
  return 0;
}

Result<const Node*> find_place(const Lab& lab, const std::string& place) {
  for (int i = 0; i <= lab.node_count(); ++i) {
    if (godwit::lab::place_name(i) == place) return i == 0 ? &lab.outside() : &lab.node(i);
  }
  return godwit::fail("lab \"{}\" has no place \"{}\": there are outside, and node-1 to node-{}", lab.name(), place,
                      lab.node_count());
}

int exec(const std::string& name, const std::string& place, const std::vector<std::string>& command) {
  auto lab = Lab::attach(name);
  if (!lab) return print_error(lab.error());
  const auto node = find_place(*lab, place);
  if (!node) return print_error(node.error());
  godwit::lab::RunOptions options;
  for (const int standard : {0, 1, 2}) options.descriptors.emplace_back(standard, standard);
  auto program = (*node)->spawn(command, options);
  if (!program) return print_error(program.error());
  const auto status = program->wait(godwit::Deadline::never());
  return status ? *status : print_error(status.error());
}

int container(const std::string& name, const std::string& place, const ContainerSpec& spec) {
  auto lab = Lab::attach(name);
  if (!lab) return print_error(lab.error());
  const auto node = find_place(*lab, place);
  if (!node) return print_error(node.error());
  const auto made = (*node)->make_container(spec);
  return made ? 0 : print_error(made.error());
}

int command_line(int argc, char** argv) {
  CLI::App app{"Nodes on this machine, made of namespaces: for trying, testing and measuring Godwit.", "godwit-lab"};
  app.require_subcommand(1);
  LabOptions options;
  options.name = "lab";
  bool foreground = false;
  std::string place;
  std::vector<std::string> command;
  int status = 0;

  CLI::App* up_verb = app.add_subcommand("up", "Start a lab");
  up_verb->add_option("--nodes", options.nodes, "Number of nodes")->capture_default_str();
  up_verb->add_option("--image", options.image,
                      "Root file system of the nodes (default: what tools/node-image.sh built)");
  up_verb->add_flag("--foreground", foreground, "Stay until interrupted, then end the lab");
  up_verb->callback([&] { status = up(options, foreground); });
  CLI::App* exec_verb = app.add_subcommand("exec", "Run a program on a node, or outside where clients are");
  exec_verb->add_option("place", place, "node-1, node-2, ... or outside")->required();
  exec_verb->add_option("command", command, "The program and its arguments, after --")->required();
  exec_verb->callback([&] { status = exec(options.name, place, command); });
  ContainerSpec spec;
  CLI::App* container_verb = app.add_subcommand("container", "Start a container on a node, as runc runs it");
  container_verb->add_option("place", place, "node-1, node-2, ...")->required();
  container_verb->add_option("container", spec.name, "Its name")->required();
  container_verb->add_option("address", spec.address, "Its address, 10.88.1.1/16 to 10.88.255.254/16")->required();
  container_verb->add_option("command", spec.args, "The program and its arguments, after --")->required();
  container_verb->callback([&] { status = container(options.name, place, spec); });
  CLI::App* down_verb = app.add_subcommand("down", "End a lab");
  down_verb->callback([&] { status = down(options.name); });
  CLI::App* list_verb = app.add_subcommand("list", "Show the labs on this machine, and remove what dead ones left");
  list_verb->callback([&] { status = list(); });
  for (CLI::App* verb : {up_verb, exec_verb, container_verb, down_verb}) {
    verb->add_option("--name", options.name, "Which lab")->capture_default_str();
  }
  CLI11_PARSE(app, argc, argv);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "janitor") return godwit::lab::janitor_main();
  if (!words.empty() && words[0] == "revive") return godwit::lab::revive_main({words.begin() + 1, words.end()});
  if (!words.empty() && words[0] == "enter") return godwit::lab::enter_main({words.begin() + 1, words.end()});
  try {
    return command_line(argc, argv);
  } catch (const std::exception& error) {
    return print_error({error.what()});
  }
}
