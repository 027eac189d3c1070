// Asks the station. A refusal is an error with what the station says, and a word for why.

export class Refused extends Error {
  constructor(status, message, why) {
    super(message);
    this.status = status;
    this.why = why;
  }
}

async function answered(asked) {
  let response;
  try {
    response = await asked;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "", "silent");
  }
  let told = null;
  try {
    told = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Refused(response.status, "", "silent");
  }
  if (!response.ok) throw new Refused(response.status, told?.error ?? response.statusText, told?.why ?? "");
  return told;
}

export const get = (path, signal) => answered(fetch(path, { signal }));

export const post = (path, body) =>
  answered(fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));

// The query of an address from what is set in an object.
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(set).toString();
}
