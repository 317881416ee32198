// The token that the APIs may ask for: this tab keeps it, and forgets it when it is closed.

const KEY = "token";
let held = read();

export const token = {
  get current() {
    return held;
  },
  set current(value) {
    held = value;
    try {
      sessionStorage.setItem(KEY, value);
    } catch {
      // A browser that keeps nothing for this page asks again when the page is loaded again.
    }
  },
};

function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Shows the form while an API asks for a token, or does not take the one that is there. */
export function tokenForm(sources, use) {
  const form = document.getElementById("token");
  const input = document.getElementById("token-text");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token.current = input.value.trim();
    input.value = "";
    use();
  });
  return () => {
    const refused = Object.values(sources).find((source) => source.fault?.kind === "token")?.fault;
    form.hidden = !refused;
    document.getElementById("token-fault").textContent = refused && token.current ? refused.message : "";
  };
}
