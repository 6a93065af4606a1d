// PostgreSQL with pgbench at work: processes, shared memory, a write-ahead log that grows, transactions in flight.
#include <algorithm>
#include <sstream>
#include <thread>

#include "workload.h"

namespace godwit::workloads {
namespace {

using std::chrono::seconds;

constexpr int clients = 4;
constexpr auto ready_time = seconds(30);

class PostgresTest : public WorkloadTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(WorkloadTest::SetUp());
    const auto ids = nodes_->node(1).exec_checked({"sh", "-c", "id -u postgres; id -g postgres"}, soon());
    ASSERT_TRUE(ids.has_value()) << ids.error().message;
    unsigned uid = 0;
    unsigned gid = 0;
    std::istringstream(*ids) >> uid >> gid;
    start({.args = {"sh", "-c", script("postgres.sh")}, .uid = uid, .gid = gid});
    const Deadline deadline = Deadline::after(ready_time);
    while (sql("select 1") != "1\n") {
      ASSERT_FALSE(deadline.expired()) << "it does not start: " << sql("select 1");
      std::this_thread::sleep_for(milliseconds(50));
    }
    const auto filled = outside(program("pgbench") + " -q -i -s 2 postgres 2>&1");
    ASSERT_TRUE(filled.has_value()) << filled.error().message;
  }

  static Deadline soon() { return Deadline::after(seconds(20)); }
  static std::string program(const std::string& name) {
    return "$(echo /usr/lib/postgresql/*/bin/" + name + ") -h " + container_address + " -U postgres";
  }
  [[nodiscard]] std::string sql(const std::string& query) const {
    auto answer = nodes_->outside().exec({"sh", "-c", program("psql") + " -At -c \"$0\" postgres 2>&1", query}, soon());
    return answer ? answer->text : answer.error().message;
  }
  [[nodiscard]] long count(const std::string& query) const { return std::strtol(sql(query).c_str(), nullptr, 10); }
};

TEST_F(PostgresTest, TransactionsGoOnAndTheBooksBalance) {
  auto bench = nodes_->outside().spawn({"sh", "-c",
                                        "exec " + program("pgbench") + " -n -c " + std::to_string(clients) +
                                            " -j 2 -R 300 -T 80 --exit-on-abort postgres >/tmp/pgbench.log 2>&1"});
  ASSERT_TRUE(bench.has_value()) << bench.error().message;
  const std::string transactions = "select count(*) from pgbench_history";
  const std::string connections =
      "select string_agg(pid || ' ' || backend_start, ',' order by pid) from "
      "pg_stat_activity where application_name = 'pgbench'";
  const Deadline deadline = Deadline::after(ready_time);
  while (count(transactions) < 100 && !deadline.expired()) std::this_thread::sleep_for(milliseconds(50));
  const std::string before = sql(connections);
  EXPECT_EQ(std::ranges::count(before, ','), clients - 1) << before;

  for (const int to : {2, 1}) {
    ASSERT_NO_FATAL_FAILURE(move(3 - to, to));
    const long done = count(transactions);
    std::this_thread::sleep_for(milliseconds(500));
    EXPECT_GT(count(transactions), done + 20) << "no transactions any more on node " << to;
  }
  EXPECT_EQ(sql(connections), before) << "not the connections of the beginning";

  const std::string log = outside("cat /tmp/pgbench.log").value_or("?");
  EXPECT_THAT(log, testing::Not(testing::ContainsRegex("error|ERROR|abort|terminated"))) << log;
  bench->kill_and_wait();
  const std::string sums = sql(
      "select (select sum(abalance) from pgbench_accounts) = sum(delta), (select sum(tbalance) from pgbench_tellers) = "
      "sum(delta), (select sum(bbalance) from pgbench_branches) = sum(delta), count(*) > 100 from pgbench_history");
  EXPECT_EQ(sums, "t|t|t|t\n");
  // Every index against its table, every page of both.
  EXPECT_EQ(sql("create extension amcheck; select count(bt_index_check(c.oid, true)) from pg_class c where "
                "c.relkind = 'i' and c.relname like 'pgbench%'"),
            "CREATE EXTENSION\n3\n");
}

}  // namespace
}  // namespace godwit::workloads
