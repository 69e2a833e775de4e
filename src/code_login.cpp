#include "code_login.h"

#include <cstdlib>
#include <utility>

#include "core/child.h"
#include "token_source.h"

namespace moat {
namespace {

constexpr int most_pastes = 5;  // that make no sense; a terminal that is gone reads as nothing

bool is_set(const char* name) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0';
}

// Null where there is none, or it does not start: the address has been shown.
std::unique_ptr<Child> open_browser(Loop& loop, const std::string& address) {
  if (is_set("MOAT_NO_BROWSER") || (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY"))) return {};
  ChildSpec spec;
  spec.argv = {"xdg-open", address};
  spec.new_session = true;  // Ctrl-C here is not meant for it
  auto child = Child::start(loop, spec, [](ExitStatus) {});
  return child ? std::move(*child) : nullptr;
}

// Asks for the address that the browser has ended at, again where what was pasted is none.
class Pasting {
 public:
  Pasting(Loop& loop, CodeFlow& flow, const Say& say) : loop_(loop), flow_(flow), say_(say) {
    ask();
  }

 private:
  void ask() {
    prompt_.emplace(loop_,
                    "If the browser is on another machine, paste the address it ends at "
                    "(not shown)",
                    [this](const Result<FoundToken>& typed) { on_typed(typed); });
  }
  void on_typed(const Result<FoundToken>& typed) {
    Result<void> taken;
    if (typed)
      taken = flow_.paste(typed->token.reveal());
    else
      taken = typed.error();
    if (taken) return;
    say_("This is no answer to the login: " + taken.error().message);
    // From the loop, for the prompt is on the stack.
    if (++pasted_ < most_pastes) again_.start(Milliseconds(0));
  }

  Loop& loop_;
  CodeFlow& flow_;
  const Say& say_;
  int pasted_ = 0;
  std::optional<TokenPrompt> prompt_;
  Timer again_{loop_, [this] {
                 prompt_.reset();
                 ask();
               }};
};

}  // namespace

CodeLogin code_login_of(const Provider& provider, const std::string& host,
                        const std::string& client_id) {
  const ProviderCode& code = *provider.code;
  CodeLogin login;
  login.flow.title = provider.title;
  login.flow.url = for_host(code.url, host);
  login.flow.token_url = for_host(code.token_url, host);
  login.flow.client_id = client_id;
  // It belongs to the client that the file names.
  if (client_id == code.client_id) login.flow.client_secret = code.client_secret;
  login.flow.scopes = code.scopes;
  login.flow.json = code.json;
  login.flow.parameters = code.parameters;
  login.place = {code.redirect_host, code.redirect_port, code.redirect_path};
  return login;
}

std::optional<Result<TokenAnswer>> log_in_by_code(Loop& loop, Fetcher& fetcher,
                                                  CodeFlowSettings flow,
                                                  std::unique_ptr<RedirectListener> listener,
                                                  bool browser, const Say& say) {
  std::optional<Result<TokenAnswer>> result;
  CodeFlow running(loop, fetcher, std::move(flow), std::move(listener),
                   [&](Result<TokenAnswer> answer) {
                     result.emplace(std::move(answer));
                     loop.stop();
                   });
  say("To authorize, visit: " + running.address());
  say("Waiting for authorization...");
  const auto child = browser ? open_browser(loop, running.address()) : nullptr;
  std::optional<Pasting> pasting;
  if (can_prompt()) pasting.emplace(loop, running, say);
  loop.run();
  return result;
}

}  // namespace moat
