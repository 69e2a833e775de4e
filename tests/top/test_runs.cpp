#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "core/crypto.h"
#include "runs.h"
#include "temp_home.h"

#include "moat_test.h"

using namespace moat;

namespace {

struct RunsTest {
  test::TempDirectory directory;
  Home home{directory.path};
  SigningKey key = std::move(*SigningKey::generate());
  std::optional<Fd> lock;

  RunsTest() { directory.make("runs"); }

  void make(const std::string& id, const std::string& name, int64_t created_ns,
            const std::string& state = "ended") {
    directory.make("runs/" + id);
    auto writer = store::RecordWriter::create(home.run(id), id, key);
    if (!writer) throw std::runtime_error(writer.error().message);
    RunFacts facts;
    facts.id = id;
    facts.name = name;
    facts.state = state;
    facts.created_ns = created_ns;
    if (!(*writer)->set_meta("run", facts.to_json()) || !(*writer)->commit())
      throw std::runtime_error("cannot write a record");
  }
  // The id that is found, or the error.
  [[nodiscard]] std::string find(const std::string& selector) const {
    const auto run = find_run(home, selector);
    return run ? run->facts.id : run.error().message;
  }
};

void check(const std::string& got, const std::string& expected) {
  const bool same = got == expected;
  if (!same) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(same);
}

void facts_come_back_from_json_as_they_were(RunsTest&) {
  RunFacts facts;
  facts.id = "0123456789ab";
  facts.name = "n";
  facts.state = "ended";
  facts.engine = "docker";
  facts.image = "node:20";
  facts.workspace = "/w";
  facts.command = {"sh", "-c", "a b"};
  facts.grants = {"github"};
  facts.created_ns = 1'700'000'000'123'456'789;
  facts.started_ns = facts.created_ns + 1;
  facts.ended_ns = facts.created_ns + 2;
  facts.exit_status = 137;
  facts.pid = 4711;
  const Json json = facts.to_json();
  const RunFacts back = RunFacts::from_json(json.view());
  check(back.to_json().text(), json.text());
  assert_true(back.created_ns == facts.created_ns);
}

void without_runs_the_answer_says_how_to_start_one(RunsTest& t) {
  check(t.find(""), "there is no run yet; start one with 'moat run'");
  check(t.find("x"), "there is no run yet; start one with 'moat run'");
}

void ids_are_new_each_time(RunsTest&) {
  const bool differ = new_run_id() != new_run_id();
  assert_true(differ);
  assert_int_equal(new_run_id().size(), 12);
}

void runs_are_listed_newest_first(RunsTest& t) {
  t.make("aaaaaaaaaaa1", "", 100);
  t.make("aaaaaaaaaaa2", "", 300);
  t.make("aaaaaaaaaaa3", "", 200);
  std::string order;
  {
    const auto runs = list_runs(t.home);
    for (const RunEntry& run : *runs) order += run.facts.id.substr(11);
  }
  check(order, "231");
}

void a_run_is_found_by_id_prefix_and_name(RunsTest& t) {
  t.make("abc111111111", "web", 100);
  t.make("abd222222222", "web", 200);
  t.make("fff333333333", "abc", 50);
  check(t.find(""), "abd222222222");
  check(t.find("abc111111111"), "abc111111111");
  check(t.find("abd"), "abd222222222");
  check(t.find("web"), "abd222222222");  // the newest of that name
  check(t.find("abc"), "fff333333333");  // a whole name before a part of an id
  check(t.find("ab"), "'ab' may be any of 2 runs (abd222222222, abc111111111); give more digits");
  check(t.find("wbe"), "there is no run 'wbe', did you mean 'web'?");
  check(t.find("zzzzzz"), "there is no run 'zzzzzz'; 'moat list' shows those there are");
}

void a_selector_is_never_a_path(RunsTest& t) {
  t.make("abc111111111", "", 100);
  t.directory.make("outside");
  for (const char* selector : {"../outside", "..", ".", "/", "abc111111111/../../outside"}) {
    const bool refused = !find_run(t.home, selector);
    assert_true(refused);
  }
}

void the_directory_says_the_id_and_not_the_record(RunsTest& t) {
  t.make("abc111111111", "", 100);
  std::filesystem::rename(t.home.run("abc111111111"), t.home.run("abc222222222"));
  check(t.find("abc222222222"), "abc222222222");
}

void what_is_no_run_is_passed_over(RunsTest& t) {
  t.make("abc111111111", "", 100);
  t.directory.make("runs/not-a-run");
  t.directory.make("runs/abc222222222");  // no record in it
  t.directory.make("runs/abc333333333");
  t.directory.write("runs/abc333333333/record.mdb", "this is no database");
  const auto runs = list_runs(t.home);
  const size_t count = runs ? runs->size() : 0;
  assert_int_equal(count, 1);
  // By its whole id, the damage is told.
  const bool damaged = !find_run(t.home, "abc333333333");
  assert_true(damaged);
}

void a_run_lives_while_its_lock_is_held(RunsTest& t) {
  t.make("abc111111111", "", 100, "running");
  check(find_run(t.home, "abc")->state(), "lost");
  auto lock = lock_run(t.home.run("abc111111111"));
  assert_true(lock.has_value());
  t.lock = std::move(*lock);
  const auto run = find_run(t.home, "abc");
  assert_true(run->alive);
  check(run->state(), "running");
  assert_false(run->over());
  const bool busy = lock_run(t.home.run("abc111111111")).error().code == Errc::busy;
  assert_true(busy);
  t.lock.reset();
  check(find_run(t.home, "abc")->state(), "lost");
}

void looking_for_life_never_takes_the_lock(RunsTest& t) {
  t.make("abc111111111", "", 100, "running");
  t.lock = std::move(*lock_run(t.home.run("abc111111111")));
  t.lock.reset();
  (void)is_run_alive(t.home.run("abc111111111"));
  const bool taken = lock_run(t.home.run("abc111111111")).has_value();
  assert_true(taken);
}

void the_lock_goes_with_a_process_that_is_killed(RunsTest& t) {
  t.make("abc111111111", "", 100, "running");
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = lock_run(t.home.run("abc111111111"));
    if (lock && write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte = 0;
  assert_int_equal(read(ready[0], &byte, 1), 1);
  const bool alive = find_run(t.home, "abc")->alive;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  const bool dead = !find_run(t.home, "abc")->alive;
  assert_true(alive);
  assert_true(dead);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RunsTest, facts_come_back_from_json_as_they_were),
      MOAT_TEST(RunsTest, without_runs_the_answer_says_how_to_start_one),
      MOAT_TEST(RunsTest, ids_are_new_each_time),
      MOAT_TEST(RunsTest, runs_are_listed_newest_first),
      MOAT_TEST(RunsTest, a_run_is_found_by_id_prefix_and_name),
      MOAT_TEST(RunsTest, a_selector_is_never_a_path),
      MOAT_TEST(RunsTest, the_directory_says_the_id_and_not_the_record),
      MOAT_TEST(RunsTest, what_is_no_run_is_passed_over),
      MOAT_TEST(RunsTest, a_run_lives_while_its_lock_is_held),
      MOAT_TEST(RunsTest, looking_for_life_never_takes_the_lock),
      MOAT_TEST(RunsTest, the_lock_goes_with_a_process_that_is_killed),
  };
  return cmocka_run_group_tests_name("top/runs", tests, nullptr, nullptr);
}
