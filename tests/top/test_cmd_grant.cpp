// `moat grant` and `moat revoke` as a person runs them: in a process of their own, against a
// service on loopback, with what they print and leave behind looked through for the token.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "command.h"
#include "core/text.h"
#include "grant.h"
#include "http_fixture.h"
#include "moat_test.h"
#include "store/vault.h"

using namespace moat;
using moat::test::HttpAnswer;
using moat::test::HttpFixture;
using moat::test::HttpRequest;
using moat::test::turn_until;

namespace {

constexpr const char* token = "gho_SECRETsecretSECRETsecretSECRETsecret";

struct CommandTest {
  Loop loop;
  std::string directory;
  HttpAnswer user{200, R"({"login":"octocat","id":1})", "X-OAuth-Scopes: repo, read:org\r\n"};
  HttpAnswer poll{200, std::string(R"({"access_token":")") + token + R"(","token_type":"bearer"})"};
  HttpFixture service{loop, [this](const HttpRequest& request) { return answer(request); }};
  std::map<std::string, std::string> environment;
  std::string input;
  std::string out;
  std::string err;
  std::string command_lines;  // of moat and of what it started, as others may read them
  int polls = 0;

  CommandTest() {
    char name[] = "/tmp/moat-test-cmd-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    directory = name;
    environment["MOAT_HOME"] = directory + "/home";
    environment["PATH"] = directory;  // no gh of this machine's
  }
  ~CommandTest() { std::filesystem::remove_all(directory); }

  HttpAnswer answer(const HttpRequest& request) {
    if (request.path == "/user") return user;
    if (request.path == "/code")
      return {200, R"({"device_code":"dc","user_code":"ABCD-1234","expires_in":900,"interval":1,)"
                   R"("verification_uri":"https://github.com/login/device"})"};
    ++polls;
    return poll;
  }

  // In the child, so that nothing of it stays here.
  [[noreturn]] void become(const std::vector<std::string>& words) const {
    for (const char* name :
         {"GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN",
          "MOAT_GITHUB_CLIENT_ID", "GEMINI_API_KEY", "GOOGLE_API_KEY"})
      unsetenv(name);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    const int in = open((directory + "/in").c_str(), O_RDONLY);
    const int to_out = open((directory + "/out").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    const int to_err = open((directory + "/err").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (dup2(in, 0) < 0 || dup2(to_out, 1) < 0 || dup2(to_err, 2) < 0) _exit(99);
    const Command& command = *find_command(words[0]);
    const auto arguments = Arguments::parse(command, {words.begin() + 1, words.end()});
    const int status =
        arguments ? command.run(*arguments) : complain(arguments.error(), exit_usage);
    fflush(nullptr);
    _exit(status);
  }

  // The exit status; -1 when it hangs. `during` is called while it runs.
  int run(const std::vector<std::string>& words, const std::function<void(pid_t)>& during = {}) {
    std::ofstream(directory + "/in") << input;
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) become(words);
    int status = 0;
    const bool ended = turn_until(
        loop,
        [&] {
          if (during) during(child);
          look_at_command_lines(child);
          return waitpid(child, &status, WNOHANG) == child;
        },
        std::chrono::seconds(20));
    if (!ended) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
    }
    out = slurp(directory + "/out");
    err = slurp(directory + "/err");
    if (!ended) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void look_at_command_lines(pid_t child) {
    const std::string process = "/proc/" + std::to_string(child);
    command_lines += slurp(process + "/cmdline");
    std::istringstream started(slurp(process + "/task/" + std::to_string(child) + "/children"));
    for (std::string other; started >> other;)
      command_lines += slurp("/proc/" + other + "/cmdline");
  }

  // `moat grant github` with every endpoint here.
  int grant(std::vector<std::string> more = {}, const std::function<void(pid_t)>& during = {}) {
    std::vector<std::string> words = {"grant",        "github",
                                      "--check-url",  service.url("/user"),
                                      "--token-url",  service.url("/token"),
                                      "--device-url", service.url("/code")};
    words.insert(words.end(), more.begin(), more.end());
    return run(words, during);
  }

  static std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  [[nodiscard]] Result<store::Sealed> stored() const {
    auto vault = store::Vault::open(directory + "/home");
    if (!vault) return vault.error();
    return vault->get("github", "");
  }

  // Does the token, plain or encoded, show anywhere: in what was printed, in an argument, or in a
  // file?
  [[nodiscard]] bool leaked() const {
    std::vector<std::string> forms = {token, base64(token), hex(token)};
    const std::string basic = base64(std::string("x-access-token:") + token);
    forms.push_back(basic.substr(24, 30));
    std::vector<std::string> places = {out, err, command_lines};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory + "/home"))
      if (entry.is_regular_file()) places.push_back(slurp(entry.path()));
    for (const std::string& place : places)
      for (const std::string& form : forms)
        if (place.find(form) != std::string::npos) return true;
    return false;
  }
  [[nodiscard]] bool tells(const char* words) const { return err.find(words) != std::string::npos; }
};

void a_token_from_input_is_checked_and_sealed(CommandTest& t) {
  t.input = std::string(token) + "\n";
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  assert_string_equal(t.out.c_str(), "GitHub credential saved successfully\n");
  assert_string_equal(t.err.c_str(), "");
  assert_false(t.leaked());
  const auto sealed = t.stored();
  assert_true(sealed.has_value());
  assert_true(sealed->secret.equals(token));
  assert_string_equal(sealed->facts["login"].string().c_str(), "octocat");
  assert_string_equal(sealed->facts["scopes"].string().c_str(), "repo, read:org");
  assert_string_equal(sealed->facts["last_four"].string().c_str(), "cret");
  assert_int_equal(t.service.requests().size(), 1);
  const std::string authorization = t.service.requests()[0].header("Authorization");
  assert_true(authorization == std::string("Bearer ") + token);
}

void a_token_in_a_variable_is_taken_before_the_device_flow(CommandTest& t) {
  t.environment["GITHUB_TOKEN"] = token;
  t.environment["GH_TOKEN"] = "another";
  assert_int_equal(t.grant({"--client-id", "Iv1.test"}), 0);
  assert_string_equal(t.out.c_str(),
                      "Using the token from GITHUB_TOKEN\nGitHub credential saved successfully\n");
  assert_false(t.leaked());
  assert_int_equal(t.polls, 0);
}

void a_token_of_gh_is_taken(CommandTest& t) {
  const auto ok = write_file_atomically(t.directory + "/gh",
                                        std::string("#!/bin/sh\necho ") + token + "\n", 0755);
  assert_true(ok.has_value());
  assert_int_equal(t.grant(), 0);
  assert_string_equal(t.out.c_str(),
                      "Using the token from gh auth token\nGitHub credential saved successfully\n");
  assert_false(t.leaked());
}

void the_device_flow_prints_its_four_lines(CommandTest& t) {
  t.environment["MOAT_GITHUB_CLIENT_ID"] = "Iv1.test";
  assert_int_equal(t.grant(), 0);
  assert_string_equal(t.out.c_str(),
                      "To authorize, visit: https://github.com/login/device\n"
                      "Enter code: ABCD-1234\n"
                      "Waiting for authorization...\n"
                      "GitHub credential saved successfully\n");
  assert_string_equal(t.err.c_str(), "");
  assert_false(t.leaked());
  const auto sealed = t.stored();
  assert_true(sealed.has_value());
  assert_string_equal(sealed->facts["source"].string().c_str(), "device flow");
}

void json_has_standard_output_for_itself(CommandTest& t) {
  assert_int_equal(t.grant({"--client-id", "Iv1.test", "--json"}), 0);
  const auto json = Json::parse(t.out);
  assert_true(json.has_value());
  assert_string_equal((*json)["provider"].string().c_str(), "github");
  assert_string_equal((*json)["login"].string().c_str(), "octocat");
  assert_true((*json)["checked"].boolean());
  assert_true(t.tells("Enter code: ABCD-1234"));
  assert_false(t.leaked());
}

void denial_leaves_nothing(CommandTest& t) {
  t.poll = {200, R"({"error":"access_denied"})"};
  assert_int_equal(t.grant({"--client-id", "Iv1.test"}), 1);
  assert_true(t.tells("denied"));
  assert_false(t.stored().has_value());
}

void a_signal_ends_the_waiting_with_nothing_stored(CommandTest& t) {
  t.poll = {200, R"({"error":"authorization_pending"})"};
  bool sent = false;
  const int status = t.grant({"--client-id", "Iv1.test"}, [&](pid_t child) {
    if (t.polls > 0 && !sent) sent = kill(child, SIGINT) == 0;
  });
  assert_int_equal(status, 130);
  assert_string_equal(t.err.c_str(), "");
  assert_false(t.stored().has_value());
}

void without_a_client_id_it_says_what_to_do(CommandTest& t) {
  if (!find_provider("github")->device->client_id.empty()) return;  // one is built in
  assert_int_equal(t.grant(), 1);
  for (const char* words : {"GITHUB_TOKEN or GH_TOKEN", "settings/applications/new", "--client-id",
                            "MOAT_GITHUB_CLIENT_ID", "--token-stdin"})
    assert_true(t.tells(words));
  assert_int_equal(t.service.requests().size(), 0);
}

void a_client_id_and_host_may_stand_in_config_yaml(CommandTest& t) {
  std::filesystem::create_directories(t.directory + "/home");
  std::filesystem::permissions(t.directory + "/home", std::filesystem::perms::owner_all);
  std::ofstream(t.directory + "/home/config.yaml")
      << "providers:\n  github:\n    client_id: Iv1.config\n    host: ghe.example.com\n";
  assert_int_equal(t.grant(), 0);
  assert_true(t.service.requests()[0].body.find("client_id=Iv1.config&") == 0);
  const auto sealed = t.stored();
  assert_true(sealed.has_value());
  assert_string_equal(sealed->facts["host"].string().c_str(), "ghe.example.com");
}

void a_token_that_is_refused_is_not_stored(CommandTest& t) {
  t.input = token;
  for (const int status : {401, 403, 404, 500, 302}) {
    t.user.status = status;
    assert_int_equal(t.grant({"--token-stdin"}), 1);
    const std::string number = std::to_string(status);
    assert_true(t.tells(number.c_str()));
    assert_false(t.stored().has_value());
    assert_false(t.leaked());
  }
}

void offline_names_the_way_out(CommandTest& t) {
  t.input = token;
  t.service.stop();
  assert_int_equal(t.grant({"--token-stdin"}), 1);
  assert_true(t.tells("--no-check"));
  assert_false(t.stored().has_value());
  assert_int_equal(t.grant({"--token-stdin", "--no-check"}), 0);
  const auto sealed = t.stored();
  assert_true(sealed.has_value());
  assert_false(sealed->facts["checked"].boolean(true));
  assert_false(t.leaked());
}

void connect_to_leads_a_name_elsewhere(CommandTest& t) {
  t.input = token;
  assert_int_equal(
      t.run({"grant", "github", "--token-stdin", "--check-url", "http://localhost:1/user",
             "--connect-to", "localhost:1=127.0.0.1:" + std::to_string(t.service.port())}),
      0);
  assert_int_equal(t.service.requests().size(), 1);
}

// Which would log out the program that it belongs to, were it used here.
void a_refresh_token_of_another_program_is_left_to_it(CommandTest& t) {
  t.environment["HOME"] = t.directory;
  std::filesystem::create_directory(t.directory + "/.codex");
  std::ofstream(t.directory + "/.codex/auth.json")
      << R"({"tokens":{"access_token":"tok-of-codex","refresh_token":"rt-of-codex"}})";
  const auto stored = [&t] { return store::Vault::open(t.directory + "/home")->get("codex", ""); };
  assert_int_equal(t.run({"grant", "codex"}), 0);
  assert_true(t.out.find("auth.json again") != std::string::npos);
  assert_true(stored()->secret.equals("tok-of-codex") && stored()->refresh_token.empty());
  assert_true(stored()->facts["followed"].boolean());
  // Unless the person wants it.
  assert_int_equal(t.run({"grant", "codex", "--take-refresh-token"}), 0);
  assert_true(stored()->refresh_token.equals("rt-of-codex"));
  assert_false(stored()->facts["followed"].boolean());
  assert_string_equal(stored()->facts["token_form"].string().c_str(), "json");
  assert_true(t.out.find("rt-of-codex") == std::string::npos);
  t.input = "tok";
  assert_int_equal(t.run({"grant", "codex", "--take-refresh-token", "--token-stdin"}), 1);
  assert_true(t.tells("standard input has no refresh token"));
}

void one_that_is_good_for_many_uses_is_taken(CommandTest& t) {
  t.environment["HOME"] = t.directory;
  std::filesystem::create_directory(t.directory + "/.gemini");
  std::ofstream(t.directory + "/.gemini/oauth_creds.json")
      << R"({"access_token":"ya29.of-gemini","refresh_token":"1//of-gemini"})";
  assert_int_equal(t.run({"grant", "gemini", "--json"}), 0);
  const auto stored = store::Vault::open(t.directory + "/home")->get("gemini", "");
  assert_true(stored->refresh_token.equals("1//of-gemini"));
  assert_string_equal(stored->facts["token_url"].string().c_str(),
                      "https://oauth2.googleapis.com/token");
  // It is no secret, but looks like one.
  const std::string client_secret = stored->facts["client_secret"].string();
  assert_false(client_secret.empty());
  assert_true(t.out.find(client_secret) == std::string::npos);
  assert_int_equal(t.run({"grant show", "gemini", "--json"}), 0);
  assert_true(t.out.find(client_secret) == std::string::npos);
}

void usage_errors_say_what_is_known(CommandTest& t) {
  assert_int_equal(t.run({"grant"}), 2);
  assert_true(t.tells("github"));
  assert_int_equal(t.run({"grant", "githb"}), 2);
  assert_true(t.tells("did you mean 'github'?"));
  assert_int_equal(t.run({"grant", "github", "--host", "10.0.0.1"}), 2);
  assert_int_equal(t.run({"grant", "github", "--check-url", "http://api.github.com/user"}), 2);
  assert_int_equal(t.run({"grant", "github", "--connect-to", "nonsense"}), 2);
}

void revoke_forgets_and_says_what_is_not_there(CommandTest& t) {
  t.input = token;
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  assert_int_equal(t.run({"revoke", "githb"}), 1);
  assert_true(t.tells("did you mean 'github'? (stored: github)"));
  assert_int_equal(t.run({"revoke", "github"}), 0);
  assert_string_equal(t.out.c_str(), "GitHub credential removed; the service was not told\n");
  assert_false(t.stored().has_value());
  assert_int_equal(t.run({"revoke", "github"}), 1);
  assert_true(t.tells("no credential 'github' is stored (stored: none)"));
  assert_int_equal(t.run({"revoke", "../key"}), 1);
}

// What a provider of another kind would keep: a credential with an address that takes it back.
void seal_one_that_can_be_revoked(CommandTest& t, const std::string& url) {
  const std::string home = t.directory + "/home";
  auto vault = store::Vault::open(home);
  assert_true(vault.has_value());
  store::Sealed sealed;
  sealed.name = "github";
  sealed.facts = Json::object().set("provider", "github").set("client_id", "Iv1.x&y");
  sealed.facts.set("revoke_url", url);
  sealed.secret = Secret(token);
  sealed.refresh_token = Secret("ghr_refresh");
  assert_true(vault->put(sealed).has_value());
}

void revoke_tells_the_service_where_it_wants_to_know(CommandTest& t) {
  t.poll = {200, ""};
  seal_one_that_can_be_revoked(t, t.service.url("/revoke"));
  assert_int_equal(t.run({"revoke", "--json", "github"}), 0);
  assert_string_equal(t.out.c_str(),
                      "{\"revoked\":[\"github\"],\"revoked_at_service\":[\"github\"]}\n");
  const auto& requests = t.service.requests();
  assert_int_equal(requests.size(), 2);
  assert_string_equal(requests[0].body.c_str(),
                      "token=ghr_refresh&token_type_hint=refresh_token&client_id=Iv1.x%26y");
  assert_string_equal(
      requests[1].body.c_str(),
      (std::string("token=") + token + "&token_type_hint=access_token&client_id=Iv1.x%26y")
          .c_str());
  assert_false(t.stored().has_value());
}

void a_client_with_a_secret_revokes_as_itself(CommandTest& t) {
  t.poll = {200, ""};
  for (const char* way : {"basic", ""}) {
    seal_one_that_can_be_revoked(t, t.service.url("/revoke"));
    auto sealed = t.stored();
    assert_true(sealed.has_value());
    sealed->facts.set("client_secret", "s/cret").set("client_auth", way);
    auto vault = store::Vault::open(t.directory + "/home");
    assert_true(vault->put(*sealed).has_value());
    assert_int_equal(t.run({"grant show", "--json", "github"}), 0);
    assert_true(t.out.find("s/cret") == std::string::npos);
    assert_int_equal(t.run({"revoke", "github"}), 0);
    const HttpRequest& request = t.service.requests().back();
    const bool in_form = request.body.ends_with("&client_secret=s%2Fcret");
    assert_int_equal(in_form, *way == '\0');
    const std::string header = in_form ? "" : "Basic " + base64("Iv1.x%26y:s%2Fcret");
    assert_string_equal(request.header("Authorization").c_str(), header.c_str());
  }
}

void a_service_that_does_not_revoke_is_told_of(CommandTest& t) {
  t.poll = {503, R"({"error":"temporarily_\u001bunavailable"})"};
  seal_one_that_can_be_revoked(t, t.service.url("/revoke"));
  assert_int_equal(t.run({"revoke", "github"}), 1);
  assert_true(t.tells("answered 503, temporarily_\\x1bunavailable"));
  assert_true(t.tells("good until it is revoked there"));
  assert_false(t.stored().has_value());
  // A token goes to nobody in the clear.
  seal_one_that_can_be_revoked(t, "http://api.github.com/revoke");
  assert_int_equal(t.run({"revoke", "github"}), 1);
  assert_true(t.tells("not an https:// URL"));
}

void list_and_show_tell_all_but_the_secret(CommandTest& t) {
  assert_int_equal(t.run({"grant list"}), 0);
  assert_true(t.out.empty() && t.tells("nothing is stored"));
  t.input = token;
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  assert_int_equal(t.grant({"--token-stdin", "--profile", "work"}), 0);
  assert_int_equal(t.run({"grant list"}), 0);
  assert_int_equal(std::count(t.out.begin(), t.out.end(), '\n'), 3);
  assert_true(t.out.find("octocat") != std::string::npos);
  assert_int_equal(t.run({"grant list", "--profile", "work", "--json"}), 0);
  const auto listed = Json::parse(t.out);
  assert_true(listed.has_value());
  assert_string_equal((*listed)["profile"].string().c_str(), "work");
  assert_string_equal((*listed)["last_four"].string().c_str(), "cret");

  assert_int_equal(t.run({"grant show", "github"}), 0);
  for (const char* line : {"Name:       github\n", "Profile:    -\n", "Type:       token\n",
                           "Source:     standard input\n", "Scopes:     repo, read:org\n",
                           "Expires:    -\n", "Checked:    yes\n", "Ends in:    cret\n"})
    assert_true(t.out.find(line) != std::string::npos);
  assert_int_equal(t.run({"grant show", "github", "--json"}), 0);
  assert_string_equal((*Json::parse(t.out))["type"].string().c_str(), "token");
  assert_true(t.out.find(token) == std::string::npos);
  assert_int_equal(t.run({"grant show", "githb"}), 1);
  assert_true(t.tells("did you mean 'github'?"));
  assert_int_equal(t.run({"grant show", "github", "--profile", "home"}), 1);
  assert_int_equal(t.run({"grant show", "github", "--profile", "../x"}), 1);
}

void one_that_does_not_open_hides_no_other(CommandTest& t) {
  t.input = token;
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  assert_int_equal(t.grant({"--token-stdin", "--profile", "work"}), 0);
  const std::string credentials = t.directory + "/home/credentials/";
  // Swapped: each is whole, and neither is what it is called.
  std::filesystem::rename(credentials + "github.enc", credentials + "x.enc");
  std::filesystem::rename(credentials + "profiles/work/github.enc", credentials + "github.enc");
  assert_int_equal(t.run({"grant list"}), 1);
  assert_true(t.tells("github.enc was changed") && t.tells("x.enc was changed"));
  assert_int_equal(t.run({"grant show", "github"}), 1);
}

void profiles_are_apart_and_may_be_named_once_for_all(CommandTest& t) {
  t.environment["MOAT_PROFILE"] = "work";
  t.input = token;
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  assert_int_equal(t.run({"grant show", "github"}), 0);
  // The flag wins over the variable.
  assert_int_equal(t.run({"grant show", "--profile", "home", "github"}), 1);
  assert_int_equal(t.run({"revoke", "--profile", "home", "github"}), 1);
  t.environment["MOAT_PROFILE"] = "";
  assert_int_equal(t.run({"revoke", "github"}), 1);
  t.environment["MOAT_PROFILE"] = "work";
  assert_int_equal(t.run({"revoke", "github"}), 0);
}

void the_key_is_kept_as_config_yaml_says(CommandTest& t) {
  const std::string passphrase = t.directory + "/passphrase";
  std::ofstream(passphrase) << "correct horse\n";
  chmod(passphrase.c_str(), 0600);
  t.input = token;
  assert_int_equal(t.run({"grant rekey"}), 1);
  assert_true(t.tells("there is no vault yet"));
  assert_int_equal(t.grant({"--token-stdin"}), 0);
  std::ofstream(t.directory + "/home/config.yaml") << "vault: {key: passphrase}\n";
  assert_int_equal(t.run({"grant show", "github"}), 1);
  assert_true(t.tells("run 'moat grant rekey'"));
  assert_int_equal(t.run({"grant rekey"}), 1);  // nobody to ask
  assert_true(t.tells("MOAT_PASSPHRASE_FILE"));
  t.environment["MOAT_PASSPHRASE_FILE"] = passphrase;
  assert_int_equal(t.run({"grant rekey"}), 0);
  assert_string_equal(t.out.c_str(),
                      "1 credential is sealed with a new key, kept by 'passphrase'\n");
  assert_int_equal(t.run({"grant show", "github"}), 0);

  chmod(passphrase.c_str(), 0640);
  assert_int_equal(t.run({"grant show", "github"}), 1);
  assert_true(t.tells("is open to others") && t.tells("MOAT_PASSPHRASE_FILE"));
  std::ofstream(passphrase) << "incorrect horse\n";
  chmod(passphrase.c_str(), 0600);
  assert_int_equal(t.run({"grant show", "github"}), 1);
  assert_true(t.tells("not the right one"));

  std::ofstream(passphrase) << "correct horse\n";
  std::ofstream(passphrase + "2") << "short";
  chmod((passphrase + "2").c_str(), 0600);
  t.environment["MOAT_NEW_PASSPHRASE_FILE"] = passphrase + "2";
  assert_int_equal(t.run({"grant rekey", "--json"}), 1);
  assert_true(t.tells("at least 8 characters"));
  std::ofstream(passphrase + "2") << "battery staple";
  assert_int_equal(t.run({"grant rekey", "--json"}), 0);
  assert_string_equal(t.out.c_str(), "{\"credentials\":1,\"key\":\"passphrase\"}\n");
  assert_int_equal(t.run({"grant show", "github"}), 1);
  t.environment["MOAT_PASSPHRASE_FILE"] = passphrase + "2";
  assert_int_equal(t.run({"grant show", "github"}), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(CommandTest, a_token_from_input_is_checked_and_sealed),
      MOAT_TEST(CommandTest, a_token_in_a_variable_is_taken_before_the_device_flow),
      MOAT_TEST(CommandTest, a_token_of_gh_is_taken),
      MOAT_TEST(CommandTest, the_device_flow_prints_its_four_lines),
      MOAT_TEST(CommandTest, json_has_standard_output_for_itself),
      MOAT_TEST(CommandTest, denial_leaves_nothing),
      MOAT_TEST(CommandTest, a_signal_ends_the_waiting_with_nothing_stored),
      MOAT_TEST(CommandTest, without_a_client_id_it_says_what_to_do),
      MOAT_TEST(CommandTest, a_client_id_and_host_may_stand_in_config_yaml),
      MOAT_TEST(CommandTest, a_token_that_is_refused_is_not_stored),
      MOAT_TEST(CommandTest, offline_names_the_way_out),
      MOAT_TEST(CommandTest, connect_to_leads_a_name_elsewhere),
      MOAT_TEST(CommandTest, a_refresh_token_of_another_program_is_left_to_it),
      MOAT_TEST(CommandTest, one_that_is_good_for_many_uses_is_taken),
      MOAT_TEST(CommandTest, usage_errors_say_what_is_known),
      MOAT_TEST(CommandTest, revoke_forgets_and_says_what_is_not_there),
      MOAT_TEST(CommandTest, revoke_tells_the_service_where_it_wants_to_know),
      MOAT_TEST(CommandTest, a_client_with_a_secret_revokes_as_itself),
      MOAT_TEST(CommandTest, a_service_that_does_not_revoke_is_told_of),
      MOAT_TEST(CommandTest, list_and_show_tell_all_but_the_secret),
      MOAT_TEST(CommandTest, one_that_does_not_open_hides_no_other),
      MOAT_TEST(CommandTest, profiles_are_apart_and_may_be_named_once_for_all),
      MOAT_TEST(CommandTest, the_key_is_kept_as_config_yaml_says),
  };
  return cmocka_run_group_tests_name("top/cmd_grant", tests, nullptr, nullptr);
}
