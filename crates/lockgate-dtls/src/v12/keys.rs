//! From a premaster secret to an association, on both sides.

use zeroize::Zeroizing;

use super::{Context, Core, StepError};
use crate::association::{Agreed, Association, Role};
use crate::bytes::OwnCid;
use crate::crypto::{CryptoError, HashOutput, Provider};
use crate::error::HandshakeError;
use crate::key_schedule::{MASTER_SECRET_LEN, MasterSecret, Premaster, PremasterParts, Seed};
use crate::record::TrafficKeys;
use crate::suite::SuiteParameters;
#[cfg(feature = "exporter")]
use crate::wire::RANDOM_LEN;
use crate::wire::VERIFY_DATA_LEN;

/// A master secret.
pub(super) type Secret = Zeroizing<[u8; MASTER_SECRET_LEN]>;

impl<P: Provider> Core<P> {
    /// From the parts of the premaster secret to the association and its expanded keys, with the transcript as it stands for the
    /// session hash. The steps are functions of their own, so that their frames lie beside each other on a device's
    /// stack.
    pub(super) fn derive_keys(
        &mut self,
        cx: &mut Context<'_, P>,
        premaster: PremasterParts<'_>,
    ) -> Result<Secret, StepError> {
        let parameters = self.parameters()?;
        let session_hash = self.transcript_hash();
        let mut secret = Zeroizing::new([0; MASTER_SECRET_LEN]);
        self.master_secret(
            cx.provider,
            parameters,
            &session_hash,
            premaster,
            &mut secret,
        )?;
        self.keys_from(cx, parameters, &secret)?;
        Ok(secret)
    }

    /// The association of a session that goes on.
    #[cfg(feature = "resumption")]
    pub(super) fn resume_keys(
        &mut self,
        cx: &mut Context<'_, P>,
        secret: &Secret,
    ) -> Result<(), HandshakeError> {
        let parameters = self.parameters()?;
        self.keys_from(cx, parameters, secret)?;
        Ok(())
    }

    /// The contents of a `Finished` over the transcript as it stands.
    #[inline(never)]
    pub(super) fn verify_data(
        &self,
        provider: &P,
        secret: &[u8; MASTER_SECRET_LEN],
        of_client: bool,
    ) -> Result<[u8; VERIFY_DATA_LEN], HandshakeError> {
        let parameters = self.parameters()?;
        let hash = self.transcript_hash();
        let master: MasterSecret<P::Hmac> = MasterSecret::new(provider, parameters, secret)?;
        Ok(master.verify_data(of_client, hash.as_ref()))
    }

    #[inline(never)]
    fn master_secret(
        &self,
        provider: &P,
        parameters: SuiteParameters,
        session_hash: &HashOutput,
        premaster: PremasterParts<'_>,
        out: &mut [u8; MASTER_SECRET_LEN],
    ) -> Result<(), StepError> {
        let seed = if self.extended_master_secret {
            Seed::SessionHash(session_hash.as_ref())
        } else {
            Seed::Randoms {
                client: &self.client_random,
                server: &self.server_random,
            }
        };
        let premaster = Premaster::new(premaster).map_err(StepError::Api)?;
        premaster.master_secret(provider, parameters, seed, out)?;
        Ok(())
    }

    #[inline(never)]
    fn keys_from(
        &mut self,
        cx: &mut Context<'_, P>,
        parameters: SuiteParameters,
        secret: &[u8; MASTER_SECRET_LEN],
    ) -> Result<(), CryptoError> {
        let role = self.role;
        let master: MasterSecret<P::Hmac> = MasterSecret::new(cx.provider, parameters, secret)?;
        let keys: TrafficKeys = master.traffic_keys(
            parameters,
            &self.client_random,
            &self.server_random,
            role == Role::Client,
        );
        #[cfg(feature = "key-log")]
        if cx.config.key_log {
            cx.events.key_log = Some(crate::event::KeyLogEntry::new(
                &self.client_random,
                master.bytes(),
            ));
        }
        #[cfg(feature = "resumption")]
        if cx.config.resumption {
            self.secret = Some(Zeroizing::new(*secret));
        }
        self.place_association(
            cx.provider,
            parameters,
            keys,
            #[cfg(feature = "exporter")]
            &master,
            role,
        )
    }

    /// Apart, so that its frame is not under the key schedule's.
    #[inline(never)]
    fn place_association(
        &mut self,
        provider: &P,
        parameters: SuiteParameters,
        keys: TrafficKeys,
        #[cfg(feature = "exporter")] master: &MasterSecret<P::Hmac>,
        role: Role,
    ) -> Result<(), CryptoError> {
        let association = Association::new(Agreed {
            role,
            suite: self.suite,
            parameters,
            keys,
            own_cid: if self.cid_agreed {
                self.own_cid
            } else {
                OwnCid::EMPTY
            },
            peer_cid: self.peer_cid,
            peer_limit: self.peer_limit,
            #[cfg(feature = "exporter")]
            exporter: crate::association::ExporterSecret {
                master_secret: *master.bytes(),
                randoms: {
                    let mut randoms = [0; 2 * RANDOM_LEN];
                    randoms[..RANDOM_LEN].copy_from_slice(&self.client_random);
                    randoms[RANDOM_LEN..].copy_from_slice(&self.server_random);
                    randoms
                },
            },
        });
        self.keys = Some(association.expand(provider)?);
        self.association = Some(association);
        Ok(())
    }
}
