// A PostgreSQL of a StatefulSet, its data on a volume, moves while pgbench works on it through its Service.
#include <algorithm>

#include <gmock/gmock.h>

#include "figures.h"
#include "os/file.h"
#include "pods_cluster.h"

namespace godwit {
namespace {

constexpr int clients = 4;

class PostgresPodTest : public PodsOnAnyNetwork {
 protected:
  void start_database() {
    apply(R"(
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: sql}
spec:
  serviceName: sql
  selector: {matchLabels: {app: sql}}
  template:
    metadata: {labels: {app: sql}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      containers:
      - name: postgres
        image: godwit.test/postgres:1
        imagePullPolicy: Never
        env: [{name: PGDATA, value: /data/database}]
        readinessProbe: {exec: {command: [pg_isready, -q, -h, localhost]}, periodSeconds: 1, timeoutSeconds: 5}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: shared, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: sql}
spec: {selector: {app: sql}, ports: [{port: 5432}]}
)");
    kubectl({"rollout", "status", "statefulset/sql", "--timeout=80s"});
    client = start_client_pod(1);
    service = get({"service", "sql"})["spec"].value("clusterIP", "");
    EXPECT_TRUE(eventually(soon(), [&] { return sql("select 1") == "1\n"; })) << sql("select 1");
  }
  // For a shell in the client pod.
  [[nodiscard]] static std::string program(const std::string& name, const std::string& service) {
    return "$(echo /usr/lib/postgresql/*/bin/" + name + ") -h " + service + " -U postgres";
  }
  [[nodiscard]] std::string sql(const std::string& query) const {
    const auto answer =
        node(1).exec(in_client_pod(program("psql", service) + " -At -c \"$0\" postgres 2>&1", query), soon());
    return answer ? answer->text : answer.error().message;
  }
  [[nodiscard]] long count(const std::string& query) const { return std::strtol(sql(query).c_str(), nullptr, 10); }

  [[nodiscard]] std::vector<std::string> in_client_pod(const std::string& script, const std::string& word = "") const {
    return {"ip", "netns", "exec", client, "sh", "-c", script, word};
  }

  std::string service;
  std::string client;  // the network namespace of a pod on node 1
};

INSTANTIATE_FOR_BOTH_NETWORKS(PostgresPodTest);

TEST_P(PostgresPodTest, AStatefulSetsDatabaseMovesTwentyTimesUnderPgbench) {
  start_database();
  const auto filled = node(1).exec_checked(in_client_pod(program("pgbench", service) + " -q -i -s 2 postgres 2>&1"),
                                           Deadline::after(seconds(60)));
  ASSERT_TRUE(filled) << filled.error().message;
  const std::string log = testing::TempDir() + "godwit-pgbench.log";
  auto bench = node(1).spawn(in_client_pod("exec " + program("pgbench", service) + " -n -c " + std::to_string(clients) +
                                           " -j 2 -R 200 -T 600 --exit-on-abort postgres"),
                             {.log_path = log});
  ASSERT_TRUE(bench) << bench.error().message;
  const std::string transactions = "select count(*) from pgbench_history";
  const std::string connections =
      "select string_agg(pid || ' ' || backend_start, ',' order by pid) from pg_stat_activity where application_name = "
      "'pgbench'";
  ASSERT_TRUE(eventually(patient(), [&] { return count(transactions) > 100; })) << sql(transactions);
  const std::string before = sql(connections);
  EXPECT_EQ(std::ranges::count(before, ','), clients - 1) << before;

  MoveFigures figures;
  for (int move = 1; move <= 20; ++move) {
    const int here = node_of("sql-0");
    const json status = migrate("sql-0", node(here % cluster().node_count() + 1).name())["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    figures.add(status);
    const long done = count(transactions);
    EXPECT_TRUE(eventually(soon(), [&] { return count(transactions) > done + 20; })) << "no transactions any more";
    EXPECT_EQ(pod("sql-0")["status"]["containerStatuses"][0].value("restartCount", -1), 0);
  }
  figures.print("PostgreSQL, " + cluster::to_string(network()));
  EXPECT_EQ(sql(connections), before) << "not the connections of the beginning";
  bench->kill_and_wait();
  const std::string said = os::read_file(log).value_or("?");
  EXPECT_THAT(said, testing::Not(testing::ContainsRegex("error|ERROR|abort|terminated"))) << said;
  EXPECT_EQ(
      sql("select (select sum(abalance) from pgbench_accounts) = sum(delta), (select sum(tbalance) from "
          "pgbench_tellers) = sum(delta), (select sum(bbalance) from pgbench_branches) = sum(delta), count(*) > 100 "
          "from pgbench_history"),
      "t|t|t|t\n");
}

}  // namespace
}  // namespace godwit
