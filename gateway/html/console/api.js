// The public REST API, and what an answer or its absence means.

import { token } from "./token.js";

const PATIENCE_MS = 4000;

/**
 * What went wrong, in words, and which kind of fault it is: "gateway", "silent", "service", "database", "token" (there is none, or it
 * is not taken), "scope" (it does not permit this), "missing" or "refused".
 */
export class Fault extends Error {
  constructor(kind, message, problem = {}) {
    super(message);
    this.kind = kind;
    this.problem = problem;
  }
}

export const get = (path) => call(path, {});

export const post = (path, body, headers = {}) =>
  call(path, {
    method: "POST",
    headers: { ...headers, ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
  });

async function call(path, options) {
  let answer;
  try {
    const headers = { ...options.headers, ...(token.current && { Authorization: `Bearer ${token.current}` }) };
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options, headers });
  } catch (error) {
    if (error.name === "TimeoutError") throw new Fault("silent", "There was no answer in time");
    throw new Fault("gateway", "The gateway is not reachable");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw new Fault(kind(answer.status, body), [body.title ?? `The answer was ${answer.status}`, body.detail].filter(Boolean).join(": "), body);
}

function kind(status, problem) {
  if (status === 502 || status === 504) return "service";
  if (status === 503) return problem.code === "unavailable" ? "service" : "database";
  return { 401: "token", 403: "scope", 404: "missing" }[status] ?? "refused";
}

/** A key for one order, however often the form is sent. randomUUID is not there on a page without TLS. */
export function idempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
