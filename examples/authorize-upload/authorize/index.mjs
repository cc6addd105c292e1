/**
 * Asked before an upload begins. Here: who belongs to a tenant uploads below the tenant's prefix, under its rules.
 *
 * @param {import('resumable-uploads').AuthorizeUploadRequest} request
 * @returns {Promise<import('resumable-uploads').AuthorizeUploadAnswer>}
 */
export async function handler({ size, fileName, metadata, claims }) {
  const tenant = claims?.tenant ?? 'public';
  if (tenant === 'suspended') return { allow: false, reason: 'Your account is suspended.' };
  if (fileName.startsWith('private-')) return { allow: false, reason: 'Files named private- stay at home.' };
  return {
    allow: true,
    keyPrefix: `tenants/${tenant}`,
    metadata: { ...metadata, plan: size > 10_000_000 ? 'large' : 'small' },
  };
}
