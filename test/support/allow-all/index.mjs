/** Asked before an upload begins: each may. */
export const handler = async () => ({ allow: true });
