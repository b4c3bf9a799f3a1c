/** Write the types anew. Rejects with what is wrong with a document. */
export function generate(): Promise<void>;
