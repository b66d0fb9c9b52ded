"use strict";

// Keeps the live part fresh, and sends the claim form. The key is read from its field when it is
// needed and never stored, logged or put into an address.

const REFRESH_MS = 2000;
const byId = (id) => document.getElementById(id);

async function refresh() {
  try {
    const answer = await fetch("/page/live", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    byId("live").innerHTML = await answer.text();
    byId("lost").hidden = true;
  } catch {
    byId("lost").hidden = false;
  }
}

async function refreshForEver() {
  if (!document.hidden) await refresh();
  setTimeout(refreshForEver, REFRESH_MS);
}

function line(name, value) {
  const term = document.createElement("dt");
  term.textContent = name;
  const description = document.createElement("dd");
  if (/^https?:\/\//.test(value)) {
    const link = document.createElement("a");
    link.href = value;
    link.rel = "noopener noreferrer";
    link.textContent = value;
    description.append(link);
  } else {
    description.textContent = value ?? "none";
  }
  return [term, description];
}

function showClaimed(agent) {
  const list = document.createElement("dl");
  list.append(
    ...line("Invite link", agent.inviteUrl),
    ...line("Conversation", agent.conversationId),
    ...line("Instance", agent.instanceId),
    ...line("Gateway", agent.gatewayUrl),
  );
  byId("claimed").replaceChildren(list);
}

function showError(sentence) {
  const text = document.createElement("p");
  text.className = "bad";
  text.textContent = sentence;
  byId("claimed").replaceChildren(text);
}

async function claim(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  // A header holds no other characters: the request could not even be sent.
  if (!/^[\x21-\x7e]+$/.test(byId("key").value)) {
    showError("The key can only hold visible ASCII characters.");
    return;
  }
  button.disabled = true;
  byId("claimed").textContent = "Claiming …";
  try {
    const answer = await fetch("/api/pool/claim", {
      method: "POST",
      headers: {
        "Authorization": `Bearer ${byId("key").value}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        agentName: byId("agent-name").value,
        instructions: byId("instructions").value,
        joinUrl: byId("join-url").value.trim() || null,
      }),
    });
    const body = await answer.json();
    if (answer.ok) showClaimed(body);
    else showError(body.error);
  } catch {
    showError("The answer was lost. Look at the list above before you claim again.");
  }
  button.disabled = false;
  refresh();
}

byId("claim").addEventListener("submit", claim);
byId("claim").querySelector("button").disabled = false;
setTimeout(refreshForEver, REFRESH_MS);
